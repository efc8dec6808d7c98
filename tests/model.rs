//! Does any order of kills, lost disks, cuts and operator actions break an *always*, or make a
//! *sometimes* unreachable?

#[path = "model/cluster.rs"]
mod cluster;
#[path = "model/entrypoint.rs"]
mod entrypoint;
#[path = "model/etcd.rs"]
mod etcd;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/search.rs"]
mod search;
#[path = "model/world.rs"]
mod world;

use cluster::{Begin, Cluster};
use world::Budget;

fn run<const N: usize>(name: &str, model: &Cluster<N>) {
    let time = std::time::Instant::now();
    let mut graph = search::explore(model, 30_000_000, 0);
    println!(
        "{name}: {} states, complete {}, {} violations {:?}, {:?} sizeof {}",
        graph.states.len(),
        graph.complete,
        graph.violations,
        graph.broken,
        time.elapsed(),
        std::mem::size_of::<world::World<N>>()
    );
    println!(
        "out of ids {} healthy {}",
        graph.states.iter().filter(|s| s.out_of_ids).count(),
        graph.states.iter().filter(|s| s.is_healthy()).count()
    );
    for (bit, at) in &graph.broken {
        println!("broken {bit}\n{}", graph.trace(model, *at));
    }
    let stuck = graph.stuck();
    println!("{} stuck", stuck.len());
    if let Some(first) = stuck.first() {
        println!(
            "{}{:#?}",
            graph.trace(model, *first),
            graph.states[*first as usize]
        );
    }
}

#[test]
fn smoke() {
    let b = Budget {
        write: 1,
        ..Budget::default()
    };
    run(
        "2 running",
        &Cluster::<2>::new(
            Begin::Running,
            Budget {
                kill: 2,
                wipe: 1,
                ..b
            },
        ),
    );
    run(
        "2 nothing",
        &Cluster::<2>::new(
            Begin::Nothing,
            Budget {
                kill: 2,
                wipe: 1,
                ..b
            },
        ),
    );
    run(
        "3 running",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                wipe: 2,
                kill: 1,
                ..b
            },
        ),
    );
    run(
        "3 running dmg",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                wipe: 1,
                damage: 1,
                pend: 1,
                ..b
            },
        ),
    );
    run(
        "3 running cut",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                wipe: 1,
                cut: 1,
                pend: 1,
                ..b
            },
        ),
    );
    run(
        "3 running pause",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                wipe: 1,
                pause: 1,
                kill: 1,
                ..b
            },
        ),
    );
    run(
        "3 running tail",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                tail: 1,
                kill: 1,
                pend: 1,
                ..b
            },
        ),
    );
    run(
        "3 running oprem",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                wipe: 1,
                operator_remove: 1,
                ..b
            },
        ),
    );
    run(
        "3 running opadd",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                wipe: 1,
                operator_add: 1,
                ..b
            },
        ),
    );
    run(
        "3 grown",
        &Cluster::<3>::new(
            Begin::Grown,
            Budget {
                wipe: 2,
                kill: 1,
                ..b
            },
        ),
    );
    run(
        "3 nothing kill",
        &Cluster::<3>::new(Begin::Nothing, Budget { kill: 1, ..b }),
    );
    run(
        "3 nothing wipe",
        &Cluster::<3>::new(Begin::Nothing, Budget { wipe: 1, ..b }),
    );
    run(
        "3 unpruned",
        &Cluster::<3>::new(
            Begin::Running,
            Budget {
                wipe: 2,
                kill: 1,
                ..b
            },
        )
        .beyond_majority(),
    );
    run(
        "4 running",
        &Cluster::<4>::new(
            Begin::Running,
            Budget {
                wipe: 1,
                kill: 1,
                ..b
            },
        ),
    );
    run(
        "5 running",
        &Cluster::<5>::new(Begin::Running, Budget { wipe: 1, ..b }),
    );
}
