//! Two machines: the configurations that belong together, written from a handful of inputs, and those
//! of a machine, checked. Never changes a file that is there.

pub mod args;
pub mod check;
mod drbd;
pub mod host;
mod inputs;
mod keepalived;
mod members;
mod next_steps;
pub mod plan;
mod secrets;
mod statements;
pub mod tools;
mod unit;
mod values;
pub mod write;

pub use inputs::plan;
pub use plan::{ETC, Grammar, Plan};
pub use write::File;

/// Every file of a plan.
pub fn files(plan: &Plan) -> Vec<File> {
    let mut files = Vec::new();
    for this in 0..2 {
        let machine = &plan.machines[this].name;
        let mut add = |name: &str, place: String, secret, text| {
            files.push(File {
                path: format!("{machine}/{name}"),
                place: Some(place),
                secret,
                text,
            });
        };
        let resource = format!("{}.res", plan.resource);
        add(
            &resource,
            format!("/etc/drbd.d/{resource}"),
            false,
            drbd::resource(plan, Some(this)),
        );
        add(
            "keepalived.conf",
            "/etc/keepalived/keepalived.conf".into(),
            true,
            keepalived::keepalived(plan, this),
        );
        if plan.fences() {
            let text = plan.secrets.fence_key.clone();
            add("fence.key", format!("{ETC}/fence.key"), true, text);
        }
        let own = format!("etcd{}.env", this + 1);
        let text = members::resident(plan, this);
        add(&own, format!("{ETC}/{own}"), false, text);
        let text = members::roving(plan, this);
        add("etcd3.env", format!("{ETC}/etcd3.env"), false, text);
        let (name, text) = (unit::NAME, unit::of_a_machine(plan));
        add(name, format!("{}/{name}", unit::FOLDER), false, text);
    }
    if let Some(third) = &plan.tie_breaker {
        let resource = format!("{}.res", plan.resource);
        files.push(File {
            path: format!("{}/{resource}", third.name),
            place: Some(format!("/etc/drbd.d/{resource}")),
            secret: false,
            text: drbd::resource(plan, None),
        });
        files.push(File {
            path: format!("{}/{}", third.name, unit::NAME),
            place: Some(format!("{}/{}", unit::FOLDER, unit::NAME)),
            secret: false,
            text: unit::of_a_tie_breaker(plan),
        });
    }
    let text = next_steps::next_steps(plan, &files);
    files.push(File {
        path: "NEXT-STEPS.txt".into(),
        place: None,
        secret: false,
        text,
    });
    files
}
