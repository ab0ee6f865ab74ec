//! Decides what should happen next to one pod: no I/O, no clock.
