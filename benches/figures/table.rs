//! Medians, and the lines that say them.

use std::fmt;
use std::time::Duration;

use crate::bench::Bench;

/// What was measured, in one unit.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1e3);
    }

    /// One more, in any unit.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that this part of them do not exceed.
    pub fn part(&self, part: f64) -> f64 {
        let mut all = self.0.clone();
        all.sort_by(f64::total_cmp);
        let last = all.len().saturating_sub(1) as f64;
        all.get((last * part).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// The median.
    pub fn median(&self) -> f64 {
        self.part(0.5)
    }
}

/// One line: a figure, its goal, and what was measured.
pub struct Row {
    /// What it is.
    pub figure: String,
    /// What it should be, in words.
    pub goal: String,
    /// What it is, in words.
    pub measured: String,
    /// Whether the goal is met.
    pub met: bool,
    /// How often it was measured.
    pub times: usize,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = match self.met {
            true => "met",
            false => "MISSED",
        };
        let Row {
            figure,
            goal,
            measured,
            times,
            ..
        } = self;
        write!(f, "| {figure} | {goal} | {measured} | {met} | {times} |")
    }
}

impl Row {
    /// At most so many milliseconds more than without us.
    pub fn more(figure: &str, ours: &Samples, bare: &Samples, most: f64) -> Row {
        let more = ours.median() - bare.median();
        Row {
            figure: figure.into(),
            goal: format!("<= {most} ms"),
            measured: format!("{more:.2} ms ({})", sides(ours, bare)),
            met: more <= most,
            times: ours.len(),
        }
    }

    /// At most so many times as long as without us.
    pub fn ratio(figure: &str, ours: &Samples, bare: &Samples, most: f64) -> Row {
        let ratio = ours.median() / bare.median();
        Row {
            figure: figure.into(),
            goal: format!("<= {most} x bare"),
            measured: format!("{ratio:.3} x ({})", sides(ours, bare)),
            met: ratio <= most,
            times: ours.len(),
        }
    }

    /// At most so many times as long as without us, by pairs that were measured under the same conditions: what
    /// spreads both sides alike does not count. The medians of either side are shown beside it.
    pub fn of_pairs(figure: &str, ours: &Samples, bare: &Samples, most: f64) -> Row {
        let mut pairs = Samples::default();
        for (ours, bare) in ours.0.iter().zip(&bare.0) {
            pairs.push(ours / bare);
        }
        let (low, mid, high) = (pairs.part(0.25), pairs.median(), pairs.part(0.75));
        let whole = ours.median() / bare.median();
        Row {
            figure: figure.into(),
            goal: format!("<= {most} x bare"),
            measured: format!(
                "{mid:.3} [{low:.3}..{high:.3}] x by pairs, {whole:.3} x by medians ({})",
                sides(ours, bare)
            ),
            met: mid <= most,
            times: ours.len(),
        }
    }

    /// At most so much.
    pub fn at_most(figure: &str, samples: &Samples, most: f64, unit: &str) -> Row {
        Row {
            figure: figure.into(),
            goal: format!("<= {most} {unit}"),
            measured: format!("{:.2} {unit}", samples.median()),
            met: samples.median() <= most,
            times: samples.len(),
        }
    }

    /// Something that holds or does not.
    pub fn holds(figure: &str, goal: &str, measured: String, met: bool) -> Row {
        Row {
            figure: figure.into(),
            goal: goal.into(),
            measured,
            met,
            times: 1,
        }
    }
}

fn sides(ours: &Samples, bare: &Samples) -> String {
    let side = |samples: &Samples| {
        let (low, mid, high) = (samples.part(0.25), samples.median(), samples.part(0.75));
        format!("{mid:.1} [{low:.1}..{high:.1}]")
    };
    format!("ours {}, bare {}", side(ours), side(bare))
}

/// The head of the table, and what it depends on.
pub fn head(bench: &Bench) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_string();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "etcd {}, {cores} cores, load {load} at the beginning; medians [quartiles] in ms.\n\n\
         | figure | goal | measured | | n |\n|---|---|---|---|---|\n",
        bench.version_name
    )
}
