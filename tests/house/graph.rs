//! Which file imports from which.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Source;

/// For each file the files that it imports from. An item counts for the file that defines it, wherever it is passed
/// on.
pub fn imports(sources: &[Source]) -> BTreeMap<usize, BTreeSet<usize>> {
    let graph = Graph::of(sources);
    let edges = |(file, source): (usize, &Source)| {
        let all = source.absolute.iter();
        let found = all.filter_map(|path| graph.resolve(file, path, 0));
        (file, found.filter(|found| *found != file).collect())
    };
    sources.iter().enumerate().map(edges).collect()
}

struct Graph<'a> {
    sources: &'a [Source],
    modules: BTreeMap<Vec<String>, usize>,
}

impl<'a> Graph<'a> {
    fn of(sources: &'a [Source]) -> Graph<'a> {
        let modules = (sources.iter().enumerate())
            .map(|(file, source)| (with_crate(source), file))
            .collect();
        Graph { sources, modules }
    }

    /// The file that defines what a path leads to, as the file at hand reads it.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        let here = with_crate(&self.sources[from]);
        let below = [here.as_slice(), path].concat();
        let is_module = |path: &[String]| self.modules.contains_key(path);
        let path = match (path.first(), below.get(..=here.len())) {
            (Some(first), _) if is_module(std::slice::from_ref(first)) => path.to_vec(),
            (Some(_), Some(child)) if is_module(child) => below,
            (_, _) => return None,
        };
        let known = (1..=path.len())
            .rev()
            .find(|end| is_module(&path[..*end]))?;
        let module = self.modules[&path[..known]];
        let Some(item) = path.get(known).filter(|item| *item != "*" && depth < 9) else {
            // A module itself, or all of it.
            return (known < path.len() || depth > 0).then_some(module);
        };
        self.passed_on(module, item, depth).or(Some(module))
    }

    fn passed_on(&self, module: usize, item: &String, depth: usize) -> Option<usize> {
        let source = &self.sources[module];
        let named = source.uses.iter().find(|(name, _)| name == item);
        if let Some((_, full)) = named {
            return self.resolve(module, full, depth + 1);
        }
        if source.types.contains(item) || source.functions.iter().any(|(name, _)| name == item) {
            return None;
        }
        let all = source.uses.iter().filter(|(name, _)| name == "*");
        all.filter_map(|(_, full)| {
            let other = self.resolve(module, full, depth + 1)?;
            let defines = &self.sources[other];
            let is_there = defines.types.contains(item)
                || defines.functions.iter().any(|(name, _)| name == item);
            is_there
                .then_some(other)
                .or_else(|| self.passed_on(other, item, depth + 1))
        })
        .next()
    }
}

fn with_crate(source: &Source) -> Vec<String> {
    std::iter::once(&source.krate)
        .chain(&source.module)
        .cloned()
        .collect()
}

/// The circles, each told by its files and who imports whom in it.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let imports = imports(sources);
    let reach: BTreeMap<usize, BTreeSet<usize>> = imports
        .keys()
        .map(|file| (*file, reached(&imports, *file)))
        .collect();
    let mut told = Vec::new();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for (file, reached) in &reach {
        if !reached.contains(file) || seen.contains(file) {
            continue;
        }
        let circle: BTreeSet<usize> = reached
            .iter()
            .copied()
            .filter(|other| reach[other].contains(file))
            .collect();
        seen.extend(&circle);
        let mut words = String::from("a circle:");
        for one in &circle {
            let to = imports[one].iter().filter(|other| circle.contains(other));
            let to: Vec<_> = to
                .map(|other| sources[*other].file.display().to_string())
                .collect();
            words += &format!("\n  {} -> {}", sources[*one].file.display(), to.join(", "));
        }
        told.push(words);
    }
    told
}

fn reached(imports: &BTreeMap<usize, BTreeSet<usize>>, from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<usize> = imports[&from].iter().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(&imports[&file]);
        }
    }
    reached
}
