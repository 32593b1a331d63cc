//! The command line of nfs-scout.

fn main() {}
