//! What the tests of snapshots are built from: etcd, S3 servers, faults, and the program.

pub mod etcd;
pub mod faults;
pub mod s3;
