//! Kubernetes objects as text and as types: decode, default, validate, print.
