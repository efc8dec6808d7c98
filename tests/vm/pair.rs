//! Two machines: three members, the third one roving on the DRBD volume, keepalived and the fence device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fence::FenceDevice;
use super::guest::{Guest, Net, Ports};
use super::image::image;
use super::roles::Roles;
use super::writer::Record;

/// How long the pair may take to do what it is expected to do: many times what an idle machine needs,
/// since emulated guests starve where the processors are busy.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Long enough for a rover to do what it must not do.
pub const TEMPTATION: Duration = Duration::from_secs(15);

/// Both guests and what is known of them.
#[derive(Debug)]
pub struct Pair {
    /// The machines.
    pub guests: [Guest; 2],
    /// Turns one off for the other.
    pub fence: FenceDevice,
    /// What clients were told is written.
    pub record: Record,
    /// Who was Primary when.
    pub roles: Roles,
    file_system: &'static str,
}

impl Pair {
    /// Two machines that were never powered on, for a volume with this file system.
    pub fn new(file_system: &'static str) -> Pair {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = image()
            .dir
            .join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
        let (ports, fence) = (Ports::free(), FenceDevice::new());
        let roles = Roles::default();
        let guests =
            [1, 2].map(|n| Guest::new(n, &dir.join(n.to_string()), &ports, fence.port, &roles));
        fence.connect(&guests);
        Pair {
            guests,
            fence,
            record: Record::default(),
            roles,
            file_system,
        }
    }

    /// Sets up the volume, starts three members, and makes machine 1 the master.
    pub fn set_up(&self) {
        let begun = Instant::now();
        self.guests.iter().for_each(Guest::start);
        self.guests.iter().for_each(Guest::wait_up);
        println!("two machines up after {:.1?}", begun.elapsed());
        self.start_all(begun);
    }

    /// The same, by what `two-node config` writes.
    pub fn set_up_as_written(&self) {
        let begun = Instant::now();
        self.guests.iter().for_each(Guest::start);
        for guest in &self.guests {
            guest.wait_up();
            guest.run("touch /var/lib/etcd/written; /guest/written");
        }
        self.start_all(begun);
    }

    /// Both machines, which were off, are powered on again, with all that starts at boot.
    pub fn power_on(&self) {
        self.guests.iter().for_each(Guest::start);
        for guest in &self.guests {
            guest.wait_up();
            guest.run("/guest/up; /guest/service start keepalived");
        }
        self.wait("one serves", || self.serving().is_some());
    }

    /// The volume, then all that starts at boot, on machines that have just been powered on.
    fn start_all(&self, begun: Instant) {
        self.first_volume();
        println!("a volume after {:.1?}", begun.elapsed());
        for guest in &self.guests {
            guest.run("/guest/up");
        }
        self.guests[0].run("/guest/service start keepalived");
        self.wait("machine 1 is the master", || self.serving() == Some(1));
        self.guests[1].run("/guest/service start keepalived");
        self.wait("three healthy members", || self.healthy() == 3);
        println!("three members after {:.1?}", begun.elapsed());
    }

    /// Both machines lose their power, and come back with new disks below DRBD.
    pub fn lose_the_volume(&self) {
        let begun = Instant::now();
        self.guests.iter().for_each(Guest::kill);
        self.guests.iter().for_each(Guest::lose_volume);
        self.guests.iter().for_each(Guest::start);
        self.guests.iter().for_each(Guest::wait_up);
        self.start_all(begun);
    }

    /// What an operator does once, on two machines with empty disks.
    fn first_volume(&self) {
        for guest in &self.guests {
            guest.run("etcd-rejoin two-node init --resource etcd");
        }
        let fs = self.file_system;
        self.guests[0].run(&format!(
            "etcd-rejoin two-node init --resource etcd --first --fs {fs}"
        ));
    }

    /// Machine 1 or 2.
    pub fn guest(&self, n: usize) -> &Guest {
        &self.guests[n - 1]
    }

    /// Waits until it is so; fails with what both machines say.
    #[track_caller]
    pub fn wait(&self, what: &str, holds: impl FnMut() -> bool) {
        self.wait_within(PATIENCE, what, holds);
    }

    #[track_caller]
    fn wait_within(&self, limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !holds() {
            assert!(Instant::now() < end, "not in {limit:?}: {what}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// The machine that is Primary with the volume mounted, where there is exactly one.
    pub fn serving(&self) -> Option<usize> {
        let script = "grep -q ' /var/lib/etcd3 ' /proc/mounts && drbdadm role etcd | grep -q ^Primary && echo yes";
        let on: Vec<usize> = (self.guests.iter())
            .filter(|guest| guest.is_on() && guest.ask(script) == "yes")
            .map(|guest| guest.n)
            .collect();
        match on[..] {
            [n] => Some(n),
            _ => None,
        }
    }

    /// How many members answer a linearizable read.
    pub fn healthy(&self) -> usize {
        let on = self.guests.iter().find(|guest| guest.is_on());
        let script = "for at in 1 2 100; do
            timeout 10 etcdctl --endpoints http://10.1.0.$at:2379 --command-timeout 5s get x > /dev/null 2>&1 && echo $at
            done; true";
        on.map_or(0, |guest| guest.ask(script).lines().count())
    }

    /// What DRBD says of its disks there, such as `UpToDate/UpToDate`.
    pub fn disks(&self, n: usize) -> String {
        self.guest(n).ask("drbdadm dstate etcd")
    }

    /// Waits until both disks are UpToDate as both machines see it. A whole disk may have to be filled.
    #[track_caller]
    pub fn wait_synced(&self) {
        let both = "UpToDate/UpToDate";
        self.wait_within(3 * PATIENCE, "both disks UpToDate", || {
            self.disks(1) == both && self.disks(2) == both
        });
    }

    /// Takes a machine down as an administrator or its distribution does: each service in its order, DRBD's
    /// too, then the power.
    pub fn shut_down(&self, n: usize) {
        self.shut_down_by(n, "/guest/shutdown");
    }

    /// The same by this command.
    pub fn shut_down_by(&self, n: usize, command: &str) {
        self.guest(n).run(command);
        self.guest(n).kill();
    }

    /// From now on and until the machine starts again, keepalived asks `probe promotable` there.
    pub fn check_before_bids(&self, n: usize) {
        self.guest(n).run(
            "touch /run/track; /guest/service stop keepalived || true; /guest/service start keepalived",
        );
    }

    /// Powers a machine on again, with all that starts at boot.
    pub fn return_of(&self, n: usize) {
        self.guest(n).kill();
        self.guest(n).start();
        self.guest(n).wait_up();
        self.guest(n)
            .run("/guest/up; /guest/service start keepalived");
    }

    /// A machine comes back after nobody could serve: then one of them does, with all that was acknowledged.
    #[track_caller]
    pub fn recovers_with(&self, n: usize) {
        self.return_of(n);
        self.wait_synced();
        self.wait("one serves", || self.serving().is_some());
        self.check();
    }

    /// A writer on this machine, with a prefix of its own.
    pub fn write_from(&self, n: usize) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("w{}-", COUNT.fetch_add(1, Ordering::Relaxed));
        let before = self.record.len();
        self.record.write_from(self.guest(n), &prefix);
        self.wait("acknowledged writes", || self.record.len() > before + 5);
    }

    /// Ends the writers.
    pub fn stop_writing(&self) {
        for guest in self.guests.iter().filter(|guest| guest.is_on()) {
            guest.run("pkill -f /guest/client || true");
        }
    }

    /// The longest time that a case may leave clients without an acknowledged write is printed, not judged.
    #[track_caller]
    pub fn wait_acknowledged_after(&self, moment: Instant, what: &str) -> Duration {
        self.wait_first_write(moment, moment, what)
    }

    /// The master has died at this moment, and the other machine takes over. Nobody can within a second:
    /// what is heard of until then was acknowledged before.
    #[track_caller]
    pub fn wait_taken_over(&self, killed: Instant, what: &str) -> Duration {
        self.wait_first_write(killed, killed + Duration::from_secs(1), what)
    }

    #[track_caller]
    fn wait_first_write(&self, since: Instant, earliest: Instant, what: &str) -> Duration {
        let mut first = None;
        self.wait("an acknowledged write", || {
            first = self.record.first_after(earliest);
            first.is_some()
        });
        let took = first.expect("it was waited for") - since;
        println!(
            "{what}: first acknowledged write after {:.1} s",
            took.as_secs_f64()
        );
        took
    }

    /// Everything that was acknowledged is there, the machines agree on one history, and never were both
    /// of them Primary.
    #[track_caller]
    pub fn check(&self) {
        self.stop_writing();
        self.wait("three healthy members", || self.healthy() == 3);
        let keys = self.guests[0]
            .run("etcdctl --endpoints http://10.1.0.100:2379 get w --prefix --keys-only");
        let there: std::collections::HashSet<&str> = keys.lines().collect();
        let acknowledged = self.record.keys();
        let lost: Vec<_> = (acknowledged.iter())
            .filter(|key| !there.contains(key.as_str()))
            .collect();
        println!("acknowledged {}, lost {}", acknowledged.len(), lost.len());
        assert!(lost.is_empty(), "lost, though acknowledged: {lost:?}");
        self.roles.check(self.serving());
        for guest in &self.guests {
            let split = guest.run("dmesg | grep -c Split-Brain || true");
            assert_eq!(split, "0", "guest {} saw a split brain", guest.n);
        }
    }

    /// The state every case begins with: machine 1 serves, all is healthy, nothing is cut.
    pub fn settle(&self) {
        for guest in &self.guests {
            for net in [Net::Lan, Net::Repl] {
                guest.set_link(net, true);
            }
            guest.keep_packets();
        }
        self.fence.set_working(true);
        self.wait_synced();
        if self.serving() != Some(1) {
            self.move_to(1);
        }
        self.wait("three healthy members", || self.healthy() == 3);
    }

    /// A planned move: keepalived of the other machine stops, and starts again later.
    #[track_caller]
    pub fn move_to(&self, n: usize) {
        let from = self.guest(3 - n);
        self.guest(n)
            .run("[ -e /run/service/keepalived/pid ] || /guest/service start keepalived");
        from.run("/guest/service stop keepalived || true");
        self.wait("the move", || self.serving() == Some(n));
        from.run("/guest/service start keepalived");
    }

    /// Whether keepalived holds the virtual address there.
    pub fn has_address(&self, n: usize) -> bool {
        let addresses = self.guest(n).ask("ip -o addr show dev lan");
        addresses.contains("10.1.0.100/")
    }

    /// Restarts both rovers with these settings in addition; the backup first.
    #[track_caller]
    pub fn reconfigure(&self, settings: &str) {
        let lines = settings.replace(' ', "\n");
        for n in [2, 1] {
            self.guest(n).run(&format!(
                "echo '{lines}' > /run/rover.env; /guest/handler
                /guest/service stop rover || true; /guest/service start rover"
            ));
        }
        self.wait("somebody serves", || self.serving().is_some());
        self.wait("three healthy members", || self.healthy() == 3);
    }

    /// keepalived wishes it, and this machine is long tempted, but does not promote a volume whose disks
    /// are like this.
    #[track_caller]
    pub fn never_promotes(&self, n: usize, disks: &str) {
        let wish = format!("machine {n} is keepalived's master");
        self.wait(&wish, || self.has_address(n));
        std::thread::sleep(TEMPTATION);
        assert_eq!(self.disks(n), disks);
        assert_eq!(self.guest(n).run("drbdadm role etcd"), "Secondary/Unknown");
    }

    /// What both machines have to say, for a failure.
    pub fn report(&self) {
        for guest in &self.guests {
            eprintln!(
                "---- guest {} ({})",
                guest.n,
                if guest.is_on() { "on" } else { "off" }
            );
            if !guest.is_on() {
                eprintln!("{}", guest.console());
                continue;
            }
            let script = "cut -d' ' -f1 /proc/uptime; drbdsetup events2 --now; grep /var/lib/etcd3 /proc/mounts
                for log in rover own keepalived; do echo \"-- $log\"; tail -n 300 /run/$log.log | cut -c1-300; done
                echo '-- kernel'; dmesg | grep -i -e drbd -e fence-peer | tail -n 30; cat /run/etcd-rejoin/gate; ps -eo pid,stat,args | grep -E 'etcd|drbd'";
            match guest.try_run(script, Duration::from_secs(30)) {
                Ok(said) => eprintln!("{}", said.text),
                Err(why) => eprintln!("{why}\n{}", guest.console()),
            }
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.fence.connect(&[]);
        self.guests.iter().for_each(Guest::kill);
    }
}
