//! podyard.
mod objects;
mod output;
fn main() {}
