//! The prices in use, and what becomes of a list that is to take their place: it is taken whole, or rejected whole.
//!
//! It refuses to know when a file has changed. A list that says something else must have a higher version, since by that
//! alone an event says what it was priced by.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tandem_actors::ports::{PriceLists, Prices};

use super::{PriceList, PricesError};

/// One per process, shared by all threads.
pub struct PricesInUse {
    standing: RwLock<Standing>,
}

/// What is in use, and what is not. As JSON it is the list with two more fields.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    #[serde(flatten)]
    pub list: Arc<PriceList>,
    pub origin: Origin,
    /// Why the file that is there now is not in use.
    #[serde(rename = "rejected")]
    pub rejection_opt: Option<Rejection>,
    /// Lists that were rejected since the start.
    #[serde(skip)]
    pub rejections: u64,
}

/// Where a list is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    BuiltIn,
    File(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    pub at: Timestamp,
    pub problem: String,
}

impl PricesInUse {
    /// The list that a process begins with: the file's, or else the one that is built in.
    pub(super) fn begin(file: &Path) -> Result<Self, PricesError> {
        let (list, origin) = match PriceList::of_file(file)? {
            Some(list) => (list, Origin::File(file.to_owned())),
            None => (PriceList::built_in(), Origin::BuiltIn),
        };
        tracing::info!(version = list.version, date = %list.date, %origin, "prices read");
        let standing = Standing { list: Arc::new(list), origin, rejection_opt: None, rejections: 0 };
        Ok(Self { standing: RwLock::new(standing) })
    }

    pub fn standing(&self) -> Standing {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file has changed, and this is what was read in it now.
    pub(super) fn offer(&self, file: &Path, read: Result<Option<PriceList>, PricesError>, now: Timestamp) {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        match judge(&standing.list, file, read) {
            Ok(list) => {
                if list.version != standing.list.version {
                    let (from, to) = (standing.list.version, list.version);
                    tracing::info!(from, to, date = %list.date, file = %file.display(), "prices changed");
                }
                standing.list = Arc::new(list);
                standing.origin = Origin::File(file.to_owned());
                standing.rejection_opt = None;
            }
            Err(error) => {
                let (in_use, problem) = (standing.list.version, error.to_string());
                tracing::error!(in_use, problem, "price list rejected; the one in use stays");
                standing.rejection_opt = Some(Rejection { at: now, problem });
                standing.rejections += 1;
            }
        }
    }
}

/// The list that takes the place of the one in use.
fn judge(
    in_use: &PriceList,
    file: &Path,
    read: Result<Option<PriceList>, PricesError>,
) -> Result<PriceList, PricesError> {
    let list = read?.ok_or_else(|| PricesError::Gone { file: file.to_owned() })?;
    if list.version > in_use.version || list.says_the_same_as(in_use) {
        return Ok(list);
    }
    let problem = format!(
        "`version` is {}, and must be more than {}: the list differs from the one in use",
        list.version, in_use.version
    );
    Err(PricesError::Bad { file: file.to_owned(), line: list.version_line, problem })
}

impl PriceLists for PricesInUse {
    fn in_use(&self) -> Arc<dyn Prices> {
        Arc::<PriceList>::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner).list)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(file) => file.display().fmt(f),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
