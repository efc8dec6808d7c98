//! The program: parse, start logging, run a command, map the outcome to an exit code.

fn main() {}
