//! Keeps one pod's promises on this machine: event loop, drivers, state, socket.
