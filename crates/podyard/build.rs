//! Links the program for a fixed address. Three processes of it stand beside every pod; at an address of the loader's choice each of them
//! writes half a megabyte of pointers into its own copy of the constants, which then nobody shares, and every start takes the longer for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-no-pie");
}
