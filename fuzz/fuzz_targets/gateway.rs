//! Whatever a server answers, no parser panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| etcd_rejoin::gateway::parse_all(body));
