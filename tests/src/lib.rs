//! End-to-end tests of the podyard binary.
