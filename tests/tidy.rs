//! The walls of the house (DESIGN section 3) where no compiler stands, and promises of the house as a whole.
//!
//! This test refuses to police taste. It sees only what ships: a unit test may look over a wall.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

// --- walls inside packages -------------------------------------------------------------------------------

#[test]
fn leg_and_engine_know_nothing_of_each_other() {
    knows_nothing_of("actors/leg", "engine");
    knows_nothing_of("actors/engine", "leg");
}

#[test]
fn no_child_knows_the_call_that_owns_it() {
    let above = [
        "actors/call",
        "actors/lib.rs",
        "actors/ports.rs",  // what the outside provides to a call
        "actors/record.rs", // what is kept of a call, for whoever serves it next
        "actors/switchboard",
        "actors/switchboard.rs",
        "actors/testing",
    ];
    for code in code_under("actors").filter(|code| !above.iter().any(|place| code.path.starts_with(place))) {
        assert!(!code.modules().contains("call"), "{} names `call`", code.path.display());
    }
}

#[test]
fn store_dial_and_http_know_nothing_of_each_other_and_only_the_composition_root_knows_them_all() {
    let rooms = ["app", "dial", "http", "store"];
    let sees_all = ["src/app", "src/app.rs", "src/cli", "src/lib.rs", "src/main.rs"];
    let is_program =
        |code: &Code| !packages().iter().any(|package| package != "." && code.path.starts_with(package));
    let walled = code_under("src").filter(|code| !sees_all.iter().any(|place| code.path.starts_with(place)));
    for code in walled.filter(is_program) {
        let known = code.modules();
        for other in rooms.iter().filter(|room| !code.path.starts_with(format!("src/{room}"))) {
            assert!(!known.contains(other), "{} names `{other}`", code.path.display());
        }
    }
}

#[test]
fn only_the_store_speaks_sql() {
    for code in code_under("src").filter(|code| !code.path.starts_with("src/store")) {
        for word in ["sqlx", "SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM "] {
            assert!(!code.text.contains(word), "{} says `{word}`", code.path.display());
        }
    }
}

#[test]
fn actors_touch_no_socket_no_file_and_no_environment() {
    says_none_of("actors", &["std::net", "std::fs", "std::env", "std::process", "tokio::net", "tokio::fs"]);
}

#[test]
fn media_does_no_io_and_reads_no_clock() {
    says_none_of(
        "src/media",
        &["std::io", "std::net", "std::fs", "std::env", "std::thread", "Instant", "SystemTime"],
    );
}

#[test]
fn every_wall_has_something_to_part() {
    let parted = [
        "actors/call",
        "actors/engine",
        "actors/leg",
        "src/app",
        "src/dial",
        "src/http",
        "src/media",
        "src/store",
    ];
    for folder in parted {
        assert!(code_under(folder).next().is_some(), "{folder} holds no code: its wall guards nothing");
    }
}

// --- walls between packages ------------------------------------------------------------------------------

#[test]
fn media_wire_and_actors_take_no_more_than_the_design_allows() {
    takes_only("src/media", &["audio-codec-algorithms", "dasp"]);
    takes_only("src/wire", &["base64", "hmac", "serde", "serde_json", "sha1", "sha2"]);
    let pure = [
        "bytes",
        "bytestring",
        "futures-util",
        "jiff",
        "rand",
        "rand_distr",
        "send_wrapper",
        "serde",
        "serde_json",
        "sha2",
        "thiserror",
        "tracing",
        "uuid",
    ];
    takes_only("actors", &[&pure[..], &["actix", "tandem-media", "tandem-wire", "tokio"]].concat());
}

#[test]
fn actors_take_channels_and_timers_of_tokio_but_no_sockets() {
    let taken = dependencies("actors", &["dependencies"]);
    for feature in taken.iter().filter(|taken| taken.name == "tokio").flat_map(Dependency::features) {
        assert!(["macros", "rt", "sync", "time"].contains(&feature), "actors take tokio's {feature}");
    }
}

#[test]
fn the_simulated_world_shares_no_bug_with_what_it_tests() {
    for Dependency { name, .. } in dependencies("src/sim", &ALL_KINDS) {
        assert!(!["tandem", "tandem-actors"].contains(&name.as_str()), "sim takes {name}");
    }
}

// --- the house as a whole --------------------------------------------------------------------------------

#[test]
fn a_panic_unwinds_in_every_profile() {
    let house = manifest(".");
    for (profile, settings) in house["profile"].as_table().expect("the house has profiles") {
        let aborts = settings.get("panic").and_then(Value::as_str) == Some("abort");
        assert!(!aborts, "profile {profile} aborts: the panic of one call would end them all");
    }
    const { assert!(cfg!(panic = "unwind"), "this very build aborts") }
}

#[test]
fn every_package_obeys_the_lints_of_the_house() {
    for package in packages() {
        let manifest = manifest(&package);
        let obeys = manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
        assert_eq!(obeys, Some(true), "{package} has lints of its own");
    }
}

#[test]
fn versions_are_chosen_in_one_place() {
    for package in packages() {
        for Dependency { name, details } in dependencies(&package, &ALL_KINDS) {
            let shared = details.contains_key("workspace") || details.contains_key("path");
            assert!(shared, "{package} chooses its own {name}");
        }
    }
}

#[test]
fn every_dependency_says_its_purpose_and_serves_it() {
    let house = read(Path::new("Cargo.toml"));
    let taken: BTreeSet<String> = packages()
        .iter()
        .flat_map(|package| dependencies(package, &ALL_KINDS))
        .map(|dependency| dependency.name)
        .collect();
    let shared = manifest(".")["workspace"]["dependencies"].clone();
    for (name, details) in shared.as_table().expect("the house shares dependencies") {
        assert!(taken.contains(name), "no package takes {name}: a dependency leaves when its purpose does");
        let is_ours = details.get("path").is_some();
        let line = house.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap_or_default();
        assert!(is_ours || line.contains(" # "), "{name} does not say its purpose");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let this_file = Path::new("tests/tidy.rs");
    let rust: Vec<PathBuf> = files_under(Path::new("")).into_iter().filter(|path| is_rust(path)).collect();
    assert!(rust.iter().any(|path| path == this_file), "the walk does not find this file: {rust:?}");
    for path in rust.iter().filter(|path| *path != this_file) {
        for word in ["TODO", "FIXME", "todo!", "unimplemented!"] {
            assert!(!read(path).contains(word), "{} says {word}", path.display());
        }
    }
}

// --- what the walls forbid -------------------------------------------------------------------------------

/// No code under `folder` names the module `other` of its own package.
fn knows_nothing_of(folder: &str, other: &str) {
    for code in code_under(folder) {
        assert!(!code.modules().contains(other), "{} names `{other}`", code.path.display());
    }
}

fn says_none_of(folder: &str, words: &[&str]) {
    for code in code_under(folder) {
        for word in words {
            assert!(!code.text.contains(word), "{} says `{word}`", code.path.display());
        }
    }
}

/// What is optional is left to the feature that asks for it, such as `testing`.
fn takes_only(package: &str, allowed: &[&str]) {
    for Dependency { name, details } in dependencies(package, &["dependencies", "build-dependencies"]) {
        let optional = details.get("optional").and_then(Value::as_bool) == Some(true);
        assert!(optional || allowed.contains(&name.as_str()), "{package} takes {name}");
    }
}

// --- how this test sees Rust -----------------------------------------------------------------------------

/// One file as it ships: without comments and without its unit tests. A file that only tests have is none.
struct Code {
    path: PathBuf,
    text: String,
}

fn code_under(folder: &str) -> impl Iterator<Item = Code> + use<> {
    let is_test = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
    let files = files_under(Path::new(folder)).into_iter();
    let shipped_files = files.filter(move |path| is_rust(path) && !is_test(path) && !is_for_tests(path));
    shipped_files.map(|path| Code { text: shipped(&read(&path)), path })
}

/// Whether the file's parent module has it for tests only.
fn is_for_tests(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_stem().and_then(OsStr::to_str)) else {
        return false;
    };
    let parents = [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")];
    let declaration = format!("#[cfg(test)]\nmod {name};");
    parents
        .iter()
        .filter(|parent| root().join(parent).is_file())
        .any(|parent| read(parent).contains(&declaration))
}

/// What follows `//` on a line is a comment, or lost with one. Unit tests are a module of that name.
fn shipped(text: &str) -> String {
    let mut shipped = String::new();
    let mut in_tests = false;
    for line in text.lines() {
        in_tests |= line == "mod tests {";
        if !in_tests {
            shipped.push_str(line.split("//").next().unwrap_or_default());
            shipped.push('\n');
        }
        in_tests &= line != "}";
    }
    shipped
}

impl Code {
    /// The modules at the root of its package that this file names: after `crate::`, or after as many
    /// `super::` as lead there, three of them from `actors/leg/twilio/stream.rs`.
    fn modules(&self) -> BTreeSet<&str> {
        let folders_and_file = self.path.iter().skip(1).count();
        let supers = "super::".repeat(folders_and_file - usize::from(self.path.ends_with("mod.rs")));
        let after_crate = self.text.split("crate::").skip(1);
        let after_supers = self.text.split(&supers).skip(1);
        after_crate.chain(after_supers).flat_map(first_names).collect()
    }
}

/// What a path begins with; if that is a group, what each path in it begins with.
fn first_names(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else { return vec![first_name(path)] };
    let (mut names, mut begin, mut open) = (Vec::new(), 0, 1);
    for (at, letter) in group.char_indices() {
        open += i32::from(letter == '{') - i32::from(letter == '}');
        if open == 0 || open == 1 && letter == ',' {
            names.push(first_name(group[begin..at].trim_start()));
            begin = at + 1;
        }
        if open == 0 {
            break;
        }
    }
    names
}

fn first_name(path: &str) -> &str {
    path.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default()
}

#[test]
fn a_module_is_seen_however_it_is_named() {
    for (path, text, expected) in [
        ("actors/leg/mod.rs", "use crate::call::A;\nlet b = crate::engine::new();", vec!["call", "engine"]),
        (
            "actors/leg/mod.rs",
            "use crate::{\n    call::{a::{b, c}, d},\n    kit::e,\n};",
            vec!["call", "kit"],
        ),
        ("actors/leg/mod.rs", "use super::{call, kit::{lane, exit}};\nuse std::fmt;", vec!["call", "kit"]),
        ("actors/router.rs", "use super::call::Phase;", vec!["call"]),
        ("actors/leg/twilio/stream.rs", "use super::super::super::call;", vec!["call"]),
        ("actors/leg/twilio/stream.rs", "use super::call; use super::super::call;", vec![]),
        (
            "actors/leg/mod.rs",
            "mod tests {\n    use crate::call;\n}\nuse crate::kit; // see crate::call",
            vec!["kit"],
        ),
    ] {
        let code = Code { path: path.into(), text: shipped(text) };
        let modules: Vec<&str> = code.modules().into_iter().filter(|name| !name.is_empty()).collect();
        assert_eq!(modules, expected, "{path}: {text}");
    }
}

// --- how this test sees the house: all paths are relative to its root ------------------------------------

const ALL_KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

struct Dependency {
    name: String,
    /// What the manifest says of it: `workspace`, `path`, `features`.
    details: Table,
}

impl Dependency {
    fn features(&self) -> impl Iterator<Item = &str> {
        self.details.get("features").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

fn dependencies(package: &str, kinds: &[&str]) -> Vec<Dependency> {
    let manifest = manifest(package);
    let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    let dependency = |(name, details): (&String, &Value)| Dependency {
        name: name.clone(),
        details: details.as_table().cloned().unwrap_or_default(),
    };
    tables.flatten().map(dependency).collect()
}

fn manifest(package: &str) -> Table {
    read(&Path::new(package).join("Cargo.toml")).parse().expect("cargo has read this manifest before")
}

/// The folders of all packages; the program's own is the root.
fn packages() -> Vec<String> {
    let house = manifest(".");
    let members = house["workspace"]["members"].as_array().expect("the house lists its members");
    members.iter().filter_map(Value::as_str).chain(["."]).map(str::to_owned).collect()
}

/// All files below a folder, but for those of tools and builds. A folder that is not there has none.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.expect("a folder that can be listed has readable entries").file_name();
        let path = folder.join(&name);
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if root().join(&path).is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "rs")
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
