//! podyard.
fn main() {}
