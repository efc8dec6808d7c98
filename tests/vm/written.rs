//! What `two-node config` writes, on the machines as it is: their only configuration.

use std::time::Instant;

use super::guest::Guest;
use super::lab::lab;
use super::pair::Pair;

#[test]
#[ignore = "needs qemu"]
fn what_two_node_config_writes_survives_a_killed_master() {
    // Two pairs at a time would be slow.
    let lab = lab("what_two_node_config_writes_survives_a_killed_master");
    lab.guests.iter().for_each(Guest::kill);
    let pair = Pair::new("ext4");
    pair.set_up_as_written();
    for guest in &pair.guests {
        let said = guest.run("etcd-rejoin two-node check --env-file /etc/etcd-rejoin/etcd3.env");
        println!("{said}");
    }
    pair.write_from(2);
    let killed = Instant::now();
    pair.guest(1).kill();
    pair.wait_taken_over(killed, "master killed");
    pair.return_of(1);
    let returned = Instant::now();
    pair.wait_synced();
    println!("in sync after {:.1?}", returned.elapsed());
    let moved = Instant::now();
    pair.move_to(1);
    pair.wait_acknowledged_after(Instant::now(), "moved to machine 1");
    println!("longest gap {:.1?}", pair.record.longest_gap(moved));
    pair.check();
    drop(pair);
    lab.power_on();
    lab.check();
}
