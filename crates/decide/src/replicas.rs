//! How many members a StatefulSet wants, and which.

/// What the StatefulSet wants that this member is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum SetWants {
    /// This member is of none, or nobody was asked.
    #[default]
    NotAsked,
    /// No answer that counts, and why.
    Unknown(String),
    /// So many members.
    Replicas {
        /// The first ordinal (`spec.ordinals.start`).
        start: u32,
        /// How many from there on (`spec.replicas`).
        replicas: u32,
    },
}

impl SetWants {
    /// Whether the set wants the member with this ordinal; none where it is not known.
    pub fn wants(&self, ordinal: u32) -> Option<bool> {
        match *self {
            SetWants::NotAsked | SetWants::Unknown(_) => None,
            SetWants::Replicas { start, replicas } => {
                Some(ordinal >= start && ordinal - start < replicas)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_wants_so_many_from_its_first_ordinal_on() {
        let wants =
            |start, replicas, ordinal| SetWants::Replicas { start, replicas }.wants(ordinal);
        for (start, replicas, ordinal, wanted) in [
            (0, 3, 2, true),
            (0, 3, 3, false),
            (5, 3, 4, false),
            (5, 3, 5, true),
            (5, 3, 7, true),
            (5, 3, 8, false),
            (u32::MAX, u32::MAX, u32::MAX, true),
            (0, 0, 0, false),
        ] {
            assert_eq!(
                wants(start, replicas, ordinal),
                Some(wanted),
                "{start} {replicas} {ordinal}"
            );
        }
        assert_eq!(SetWants::NotAsked.wants(0), None);
        assert_eq!(SetWants::Unknown("401".into()).wants(0), None);
    }
}
