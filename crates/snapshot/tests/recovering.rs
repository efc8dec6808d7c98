//! Does a cluster get back what the store holds, and is what is decided there decided once? The program as it is, beside
//! real etcd and a real S3 server.

#[path = "recovering/orders.rs"]
mod orders;
#[path = "recovering/steps.rs"]
mod steps;
mod support;
#[path = "recovering/survivors.rs"]
mod survivors;
