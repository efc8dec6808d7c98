//! The sources of the workspace, without what only tests see.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree};

/// One file.
pub struct Source {
    /// From the root of the workspace.
    pub file: PathBuf,
    /// Its crate, as other crates name it.
    pub krate: String,
    /// Its module in the crate; none for the crate's root.
    pub module: Vec<String>,
    /// What it names by `use`, each name with the path that it stands for; `*` for all that is there.
    pub uses: Vec<(String, Vec<String>)>,
    /// Paths from a crate's root that it names in its code, `use` included.
    pub absolute: Vec<Vec<String>>,
    /// All paths that it names, with what `use` makes of their first word.
    pub paths: Vec<String>,
    /// The types that it defines, but for those of a single function.
    pub types: Vec<String>,
    /// Its functions, and how many lines each has.
    pub functions: Vec<(String, usize)>,
}

/// All of them.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    read_folder(root, Path::new("src"), "etcd_rejoin", &mut all);
    let crates = std::fs::read_dir(root.join("crates")).expect("crates/");
    let mut names: Vec<String> = crates
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    for name in names {
        let krate = format!("etcd_rejoin_{}", name.replace('-', "_"));
        read_folder(
            root,
            &Path::new("crates").join(name).join("src"),
            &krate,
            &mut all,
        );
    }
    all
}

fn read_folder(root: &Path, folder: &Path, krate: &str, all: &mut Vec<Source>) {
    let entries = std::fs::read_dir(root.join(folder)).expect("a folder of sources");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    for path in names {
        let file = path
            .strip_prefix(root)
            .expect("below the root")
            .to_path_buf();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests") {
                read_folder(root, &file, krate, all);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && path.file_stem().is_none_or(|name| name != "tests")
        {
            let text = std::fs::read_to_string(&path).expect("a source");
            all.push(Source::read(file, &text, krate));
        }
    }
}

impl Source {
    /// Reads a file of this crate.
    pub fn read(file: PathBuf, text: &str, krate: &str) -> Source {
        let parsed = syn::parse_file(text).expect("Rust");
        let below = file.iter().skip_while(|part| *part != "src").skip(1);
        let mut module: Vec<String> = below
            .map(|part| part.to_string_lossy().trim_end_matches(".rs").to_string())
            .collect();
        if module
            .last()
            .is_some_and(|name| name == "mod" || name == "lib" && module.len() == 1)
        {
            module.pop();
        }
        let mut source = Source {
            file,
            krate: krate.into(),
            module,
            uses: Vec::new(),
            absolute: Vec::new(),
            paths: Vec::new(),
            types: Vec::new(),
            functions: Vec::new(),
        };
        let module = source.module.clone();
        let mut reader = Reader {
            source: &mut source,
            here: module,
            inside: 0,
        };
        reader.visit_file(&parsed);
        let named: Vec<Vec<String>> = std::mem::take(&mut source.absolute);
        source.absolute = named.iter().map(|path| source.in_full(path)).collect();
        source.paths = source.absolute.iter().map(|path| path.join("::")).collect();
        source
    }

    /// A path with what `use` makes of its first word.
    fn in_full(&self, path: &[String]) -> Vec<String> {
        let meant = self
            .uses
            .iter()
            .find(|(name, _)| Some(name) == path.first());
        match meant {
            Some((_, full)) => full.iter().chain(&path[1..]).cloned().collect(),
            None => path.to_vec(),
        }
    }
}

fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

struct Reader<'a> {
    source: &'a mut Source,
    /// The module, with those that the file holds in itself.
    here: Vec<String>,
    /// Functions around what is being read.
    inside: usize,
}

impl Reader<'_> {
    /// From the crate's root, where a path begins with `crate`, `self` or `super`.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let mut base = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.here.clone(),
            _ => return path,
        };
        let mut rest = path.as_slice();
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "super" => drop(base.pop()),
                "crate" | "self" => {}
                _ => break,
            }
            rest = after;
        }
        let krate = self.source.krate.clone();
        std::iter::once(krate)
            .chain(base)
            .chain(rest.iter().cloned())
            .collect()
    }

    fn name(&mut self, path: Vec<String>) {
        let path = self.absolute(path);
        self.source.absolute.push(path);
    }

    fn read_use(&mut self, tree: &UseTree, before: &[String], visible: bool) {
        let with = |name: String| [before, &[name]].concat();
        let (name, path) = match tree {
            UseTree::Path(path) => {
                return self.read_use(&path.tree, &with(path.ident.to_string()), visible);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.read_use(tree, before, visible);
                }
                return;
            }
            UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned().unwrap_or_default(), before.to_vec())
            }
            UseTree::Name(name) => (name.ident.to_string(), with(name.ident.to_string())),
            UseTree::Rename(name) if name.ident == "self" => {
                (name.rename.to_string(), before.to_vec())
            }
            UseTree::Rename(name) => (name.rename.to_string(), with(name.ident.to_string())),
            UseTree::Glob(_) => ("*".into(), with("*".into())),
        };
        let path = self.absolute(path);
        // What a module only passes on is no import of its own.
        if self.here == self.source.module {
            self.source.uses.push((name, path.clone()));
        }
        if !visible {
            self.source.absolute.push(path);
        }
    }

    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens
            .into_iter()
            .chain([TokenTree::Punct(proc_macro2::Punct::new(
                ';',
                proc_macro2::Spacing::Alone,
            ))])
        {
            match token {
                TokenTree::Ident(ident) if colons == 2 || path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct)
                    if punct.as_char() == ':' && !path.is_empty() && colons < 2 =>
                {
                    colons += 1
                }
                other => {
                    let ended = std::mem::take(&mut path);
                    colons = 0;
                    if !ended.is_empty() {
                        self.name(ended);
                    }
                    match other {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.read_tokens(group.stream()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
    }

    fn function(&mut self, name: &syn::Ident, block: &syn::Block) {
        let braces = block.brace_token.span;
        let lines = braces.close().end().line - braces.open().start().line + 1;
        self.source.functions.push((name.to_string(), lines));
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Mod(item) => (&item.attrs, None),
            Item::Fn(item) => (&item.attrs, None),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            Item::Const(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if for_tests(attributes) {
            return;
        }
        if let Some(name) = name
            && self.inside == 0
        {
            self.source.types.push(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.here.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.here.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let visible = !matches!(item.vis, syn::Visibility::Inherited);
        self.read_use(&item.tree, &[], visible);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !for_tests(&item.attrs) {
            self.function(&item.sig.ident, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.inside += 1;
        visit::visit_block(self, block);
        self.inside -= 1;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path
            .segments
            .iter()
            .map(|word| word.ident.to_string())
            .collect();
        self.name(words);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.read_tokens(called.tokens.clone());
    }
}
