#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| podyard_fuzz::manifest(bytes));
