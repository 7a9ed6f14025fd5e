use serde_json::{Value, json};
use tandem_actors::ports::PriceLists as _;
use tempfile::TempDir;

use super::super::Origin;
use super::*;
use crate::clock::SystemClock;

/// A list under watch, in a folder of its own.
struct Shop {
    folder: TempDir,
    watch: Watch,
    writes: u64,
}

impl Shop {
    fn with(first_opt: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prices.toml");
        if let Some(first) = first_opt {
            fs::write(&file, first).unwrap();
        }
        let watch = Watch::begin(&file, Arc::new(SystemClock)).unwrap();
        Self { folder, watch, writes: 0 }
    }

    /// Writes the file. Files that are written within a tick of the system's clock look the same, and this test is faster.
    fn write(&mut self, text: &str) {
        self.writes += 1;
        fs::write(&self.watch.file, text).unwrap();
        let written = fs::File::options().write(true).open(&self.watch.file).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + self.writes);
        written.set_modified(at).unwrap();
    }

    /// As often as it takes.
    fn look(&mut self) {
        self.watch.look();
        self.watch.look();
    }

    fn version(&self) -> u32 {
        self.watch.prices.in_use().version()
    }

    /// Why the file is not in use, and how many were not.
    fn rejected(&self) -> (Option<String>, u64) {
        let standing = self.watch.prices.standing();
        let place = format!("{}/", self.folder.path().display());
        (standing.rejection_opt.map(|rejection| rejection.problem.replace(&place, "")), standing.rejections)
    }
}

fn list(version: u32, price: &str) -> String {
    format!("# Ours.\nversion = {version}\ndate = \"2026-12-01\"\n\n[minutes]\nears = {price}\n")
}

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_list_with_a_higher_version_takes_the_place_of_the_one_in_use() {
    let mut shop = Shop::with(Some(&list(1, "0.5")));
    let old = shop.watch.prices.in_use();
    shop.write(&list(2, "0.25"));
    shop.look();
    let new = shop.watch.prices.in_use();
    assert_eq!(
        [&old, &new].map(|list| (list.version(), list.time("ears", MINUTE))),
        [(1, Some(500_000)), (2, Some(250_000))]
    );
    assert_eq!(shop.rejected(), (None, 0));
}

#[test]
fn a_wrong_list_is_rejected_whole_told_once_and_forgotten_when_it_is_mended() {
    let mut shop = Shop::with(Some(&list(1, "0.5")));
    shop.write(&format!("{}nose = -1\n", list(2, "0.25")));
    shop.look();
    let problem = "bad prices in prices.toml, line 7: `nose`: invalid value: floating point `-1.0`, expected 0 to \
                   1000000 dollars, with at most six decimals";
    assert_eq!((shop.version(), shop.rejected()), (1, (Some(problem.to_owned()), 1)));
    shop.look();
    shop.look();
    assert_eq!(shop.rejected().1, 1, "it is the same file");
    shop.write(&list(2, "0.25"));
    shop.look();
    assert_eq!((shop.version(), shop.rejected()), (2, (None, 1)));
}

#[test]
fn a_list_that_differs_must_have_a_higher_version() {
    let mut shop = Shop::with(Some(&list(2, "0.5")));
    for (version, rejections) in [(2, 1), (1, 2)] {
        shop.write(&list(version, "0.25"));
        shop.look();
        let problem = format!(
            "bad prices in prices.toml, line 2: `version` is {version}, and must be more than 2: the list differs from \
             the one in use"
        );
        assert_eq!((shop.version(), shop.rejected()), (2, (Some(problem), rejections)));
    }
    shop.write(&list(2, "0.50 # dollars"));
    shop.look();
    assert_eq!((shop.version(), shop.rejected()), (2, (None, 2)), "it says the same in other words");
}

#[test]
fn a_list_that_is_being_written_is_left_alone() {
    let mut shop = Shop::with(Some(&list(1, "0.5")));
    for half in ["version = 2\n", "version = 2\ndate = \"2026-12-02\"\n"] {
        shop.write(half);
        shop.watch.look();
        assert_eq!((shop.version(), shop.rejected().1), (1, 0));
    }
    shop.write(&list(2, "0.25"));
    shop.look();
    assert_eq!((shop.version(), shop.rejected().1), (2, 0));
}

#[test]
fn a_file_that_goes_or_cannot_be_read_changes_no_price() {
    let mut shop = Shop::with(Some(&list(1, "0.5")));
    let file = shop.watch.file.clone();
    fs::remove_file(&file).unwrap();
    shop.look();
    assert_eq!(
        (shop.version(), shop.rejected()),
        (1, (Some("prices in prices.toml are gone".to_owned()), 1))
    );
    fs::create_dir(&file).unwrap();
    shop.look();
    let problem = "cannot read prices in prices.toml: it is not a file";
    assert_eq!((shop.version(), shop.rejected()), (1, (Some(problem.to_owned()), 2)));
    fs::remove_dir(&file).unwrap();
    shop.write(&format!("#{}\n{}", "x".repeat(1 << 20), list(2, "0.5")));
    shop.look();
    let problem = "cannot read prices in prices.toml: it has more than 1048576 bytes";
    assert_eq!((shop.version(), shop.rejected()), (1, (Some(problem.to_owned()), 3)));
}

#[test]
fn without_a_file_the_list_that_is_built_in_counts_until_one_comes() {
    let mut shop = Shop::with(None);
    let built_in = shop.watch.prices.standing();
    assert_eq!((built_in.origin, built_in.rejection_opt), (Origin::BuiltIn, None));
    shop.look();
    assert_eq!(shop.rejected(), (None, 0), "there never was one");
    let version = built_in.list.version + 1;
    shop.write(&list(version, "0.25"));
    shop.look();
    let standing = shop.watch.prices.standing();
    assert_eq!((standing.list.version, standing.origin), (version, Origin::File(shop.watch.file.clone())));
}

#[test]
fn operators_see_the_list_in_use_as_it_is_written_and_why_the_file_is_not() {
    let text = "version = 3\ndate = \"2026-12-01\"\n[tokens]\nbrain = { text_in = 0.4, text_out = 24 }\n\
                [carrier]\ninbound_call = 0.0085\n";
    let mut shop = Shop::with(Some(text));
    let seen = |shop: &Shop| serde_json::to_value(shop.watch.prices.standing()).unwrap();
    let in_use = json!({
        "version": 3,
        "date": "2026-12-01",
        "tokens": { "brain": { "text_in": 0.4, "text_out": 24.0 } },
        "minutes": {},
        "characters": {},
        "carrier": { "inbound_call": 0.0085 },
        "origin": shop.watch.file.display().to_string(),
        "rejected": null,
    });
    assert_eq!(seen(&shop), in_use);
    shop.write("version = three");
    shop.look();
    let now = seen(&shop);
    let Value::String(problem) = &now["rejected"]["problem"] else { panic!("{now}") };
    assert!(problem.contains("line 1: `version`: "), "{problem}");
    assert!(now["rejected"]["at"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{now}");
    assert_eq!((&now["version"], &now["tokens"]), (&in_use["version"], &in_use["tokens"]));
}
