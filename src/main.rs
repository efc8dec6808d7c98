//! The program: parse, start logging, run a command, map the outcome to an exit code.

fn main() {
    if let Some(code) = etcd_rejoin::handover::hidden_main(std::env::args_os().skip(1)) {
        std::process::exit(code);
    }
}
