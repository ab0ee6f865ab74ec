#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| podyard_fuzz::quantity(text));
