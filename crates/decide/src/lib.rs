//! What is decided about what was seen. Pure: no clock, disk, network or environment. The table is `table.rs`.

mod decision;
mod empty;
mod enough;
mod entries;
mod first_start;
mod held;
mod hindrance;
mod leaving;
pub mod membership;
mod memory;
mod observation;
mod orders;
mod own;
mod own_url;
mod reason;
mod recovery;
mod replicas;
mod retention;
mod seen;
mod set;
mod step;
mod store;
mod surroundings;
mod table;
mod token;
mod told;
mod total_loss;
mod versions;
mod voting;

pub use decision::Decision;
pub use empty::add_as;
pub use enough::{ToAsk, is_settled, still_to_ask};
pub use entries::{data_elsewhere, own_id};
pub use first_start::listens;
pub use held::{
    Alone, Confirmed, Evidence, Founders, Histories, Leaderless, Outlook, Unheard, Whose,
};
pub use hindrance::{hindrance, rejoin_fails, unready};
pub use memory::{Happened, Memory};
pub use observation::{
    Bootstrap, DataDir, Elsewhere, Heard, Holds, Identity, JoinAs, JoinsOnly, Knock, ListedHere,
    MemberProgress, Misplaced, Observation, Peer, Policy, Progress, Quorate, Removal, Steady,
    Trial, Wants,
};
pub use own_url::{FoundThere, Misleads, OwnUrl, misled};
pub use reason::{Ending, Gravity, Reason, Row, Why, cures_table, recovery_table, table};
pub use recovery::without_passed_over;
pub use replicas::SetWants;
pub use retention::{KeptFor, Prunable, Retention, retain};
pub use seen::in_one_line;
pub use step::{Begin, Start, Step, StoreStep};
pub use store::{
    Base, HELD_BY, Kept, KeptLineage, KeptMarker, KeptMember, KeptOrder, KeptSnapshot, Nonce,
    OrderOutcome, Ordered, Recover, SaidOfStore, StoreSeen, is_held,
};
pub use surroundings::{Dir, Surroundings};
pub use table::{counts_on_versions, decide};
pub use token::lineage_token;
pub use told::{Urgency, to_go_on};
pub use total_loss::TABLE;
pub use versions::{MinorVersion, Traps, Versions};
