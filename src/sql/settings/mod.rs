//! What `SET nc.… = …` sets.

pub(super) mod budget;
pub(super) mod doubts;

use std::any::Any;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryPool;

use crate::archive::{ClassNames, HeadRows, Naming, Policy};
use crate::error::{Error, Result};
use crate::kernels::{Device, DeviceChoice};
use crate::metrics::Options;
use crate::sql::error::external;
use crate::sql::settings::doubts::Doubts;

/// Conventions and rules of a session: those of [`Options`] under their own names, and these.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `require_grid` | false | whether an aggregate whose rows bring no grid along, and that is given none, is an error |
/// | `extra_bits` | 0 | by how many bits each chunk's own grid is made finer |
/// | `nulls` | fail | rows with a null label, a null vector or a null in it: `fail` or `skip` |
/// | `nonfinite` | fail | rows with a NaN or an infinity: `fail` or `skip` |
/// | `normalize` | false | whether each row is divided by its length first; rows of zeros count as not finite |
/// | `memory` | none | bytes that all states of a query may take together |
/// | `device` | auto | what works on the rows of aggregates: `cpu`, `cuda` or `cuda:N`; `auto` is the CPU |
/// | `head_rows` | none | which row of a head is which class: `label`, `one-based`, `rank` (among the labels of a state, as many as the rows), `names:FILE` |
/// | `class_names` | none | a file of names of classes, for rows of heads |
///
/// A value of `default` takes a setting back.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What was set, as typed.
    typed: BTreeMap<String, String>,
    pub(super) options: Options,
    pub(super) require_grid: bool,
    pub(super) extra_bits: u32,
    pub(super) nulls: Policy,
    pub(super) nonfinite: Policy,
    pub(super) normalize: bool,
    pub(super) memory: Option<u64>,
    pub(super) naming: Naming,
    pub(super) device: Device,
    /// Where states have their memory, beside the operators of plans.
    pub(super) pool: Pool,
    /// What is to be said of the numbers that were made.
    pub(super) doubts: Doubts,
}

/// A session's pool, if it has one.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool(Option<Arc<dyn MemoryPool>>);

impl Pool {
    pub(super) fn get(&self) -> Option<&Arc<dyn MemoryPool>> {
        self.0.as_ref()
    }
}

impl From<Arc<dyn MemoryPool>> for Pool {
    fn from(pool: Arc<dyn MemoryPool>) -> Self {
        Self(Some(pool))
    }
}

/// The keys beside those of [`Options`].
const KEYS: [&str; 9] =
    ["require_grid", "extra_bits", "nulls", "nonfinite", "normalize", "memory", "device", "head_rows", "class_names"];

impl Settings {
    /// The settings of a session; the defaults if the functions are not registered with it.
    pub(super) fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// What was set, as typed.
    #[cfg(feature = "cluster")]
    pub(super) fn typed(&self) -> &BTreeMap<String, String> {
        &self.typed
    }

    /// The device that was asked for.
    fn choice(&self) -> DeviceChoice {
        self.typed.get("device").and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn assign(&mut self, key: &str, value: &str) -> Result<()> {
        let takes = |what: &str| {
            Error::usage("the setting does not take this value")
                .with("setting", format!("nc.{key}"))
                .with("value", value)
                .help(format!("nc.{key} takes {what}"))
        };
        let policy = |value: &str| match value {
            "fail" => Ok(Policy::Fail),
            "skip" => Ok(Policy::Skip),
            _ => Err(takes("fail or skip")),
        };
        match key {
            "require_grid" => self.require_grid = value.parse().map_err(|_| takes("true or false"))?,
            "extra_bits" => {
                let bits = value.parse().ok().filter(|bits| (0..=20).contains(bits));
                self.extra_bits = bits.ok_or_else(|| takes("a number of bits, 0 to 20"))?;
            }
            "nulls" => self.nulls = policy(value)?,
            "nonfinite" => self.nonfinite = policy(value)?,
            "normalize" => self.normalize = value.parse().map_err(|_| takes("true or false"))?,
            "memory" => self.memory = Some(value.parse().map_err(|_| takes("a number of bytes"))?),
            // The device itself is opened once, when it is set.
            "device" => drop(value.parse::<DeviceChoice>().map_err(|_| takes("auto, cpu, cuda or cuda:N"))?),
            "head_rows" => self.naming.rows = Some(HeadRows::parse(value)?),
            "class_names" => self.naming.names = Some(ClassNames::read(Path::new(value))?),
            _ => {
                let more = format!("nc.{}", KEYS.join(", nc."));
                return self.options.set(key, value).map_err(|error| match error.advice().map(str::to_owned) {
                    Some(advice) if advice.starts_with("one of") => error.help(format!("{advice}; or {more}")),
                    _ => error,
                });
            }
        }
        Ok(())
    }
}

/// Equal settings were typed alike.
impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.typed == other.typed
    }
}

impl Eq for Settings {}

impl Hash for Settings {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.typed.hash(state);
    }
}

impl ConfigExtension for Settings {
    const PREFIX: &'static str = "nc";
}

impl ExtensionOptions for Settings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), DataFusionError> {
        let mut typed = self.typed.clone();
        if value == "default" {
            typed.remove(key);
        } else {
            typed.insert(key.to_owned(), value.to_owned());
        }
        let mut settings = Self::default();
        for (key, value) in &typed {
            settings.assign(key, value).map_err(external)?;
        }
        settings.typed = typed;
        settings.device = match settings.choice() {
            choice if choice == self.choice() => self.device.clone(),
            choice => Device::chosen(choice).map_err(external)?,
        };
        *self = Self { pool: self.pool.clone(), doubts: self.doubts.clone(), ..settings };
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |key: &str, value: Option<String>, description| ConfigEntry {
            key: format!("nc.{key}"),
            value,
            description,
        };
        let policy = |policy| Some(if policy == Policy::Fail { "fail" } else { "skip" }.to_owned());
        let options = self.options.describe().into_iter().map(|(key, value)| {
            let value = match value {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text),
                other => Some(other.to_string()),
            };
            entry(key, value, "a convention of the metrics")
        });
        let rules = [
            entry("require_grid", Some(self.require_grid.to_string()), "whether rows without a grid are an error"),
            entry("extra_bits", Some(self.extra_bits.to_string()), "bits by which chunks' own grids are made finer"),
            entry("nulls", policy(self.nulls), "rows with nulls: fail or skip"),
            entry("nonfinite", policy(self.nonfinite), "rows with a NaN or an infinity: fail or skip"),
            entry("normalize", Some(self.normalize.to_string()), "whether rows are divided by their length"),
            entry("memory", self.memory.map(|bytes| bytes.to_string()), "bytes that states may take together"),
            entry("device", Some(self.choice().to_string()), "what works on the rows of aggregates; auto is the CPU"),
            entry("head_rows", self.typed.get("head_rows").cloned(), "which row of a head is which class"),
            entry("class_names", self.typed.get("class_names").cloned(), "a file of names of classes"),
        ];
        options.chain(rules).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Centring;

    #[test]
    fn settings_are_set_and_taken_back() {
        let mut settings = Settings::default();
        settings.set("centring", "sample").unwrap();
        settings.set("nulls", "skip").unwrap();
        assert_eq!(settings.options.centring, Centring::Sample);
        assert_eq!(settings.nulls, Policy::Skip);
        assert_ne!(settings, Settings::default());
        settings.set("centring", "default").unwrap();
        settings.set("nulls", "default").unwrap();
        assert_eq!(settings.options.centring, Centring::Class);
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn what_no_setting_takes_changes_nothing() {
        let mut settings = Settings::default();
        for (key, value) in [("centring", "mean"), ("extra_bits", "21"), ("nulls", "drop"), ("centering", "class")] {
            assert!(settings.set(key, value).is_err(), "{key}");
        }
        assert_eq!(settings, Settings::default());
        let text = settings.set("gird", "1").unwrap_err().to_string();
        assert!(text.contains("no such option"), "{text}");
    }

    #[test]
    fn every_key_is_listed() {
        let keys: Vec<String> = Settings::default().entries().into_iter().map(|entry| entry.key).collect();
        assert!(KEYS.iter().all(|key| keys.contains(&format!("nc.{key}"))));
        assert!(keys.contains(&"nc.cdnv_exponent".to_owned()));
    }
}
