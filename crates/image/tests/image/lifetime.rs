//! How long images stay: names, leases, collection, crashes.
