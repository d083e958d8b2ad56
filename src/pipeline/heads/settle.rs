//! Settling which group gets which head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Candidate, HeadRules, Heads, Labels, Service};
use crate::archive::{HeadPath, HeadSource, Key, Outline, Policy, Spellings, escaped};
use crate::batch::Label;
use crate::error::{Error, Result, nearest};
use crate::pipeline::first_pass::named;
use crate::store::locate;

/// Reasons for which a group has no head.
const NOT_FOR_GROUP: &str = "head_not_for_group";
const DOES_NOT_FIT: &str = "head_does_not_fit";
const MISSING: &str = "head_missing";

/// How many things an error lists.
const LISTED: usize = 6;

const SQUARE: &str = "the head is square and read as class × dim; if it is dim × class: --head-transposed";

/// Fails unless all keys of the head's path and of `--head-for` make groups.
pub(in crate::pipeline) fn check_keys(source: &HeadSource, rules: &HeadRules, group_by: &[String]) -> Result<()> {
    let unknown = |key: &&str| !group_by.iter().any(|by| by == key);
    let advise = |error: Error, key: &str, form: &dyn Fn(&str) -> String| {
        let near = nearest(key, group_by.iter().map(String::as_str));
        error.help(match near.first() {
            Some(near) => format!("did you mean {}?", form(&escaped(near))),
            None => format!("add it: --group-by {}", escaped(key)),
        })
    };
    if let Some(key) = source.keys().into_iter().find(unknown) {
        let error = Error::usage("the head's path names a key that is not in --group-by")
            .with("key", escaped(key))
            .with("keys", if group_by.is_empty() { "none".to_owned() } else { escaped(&group_by.join(", ")) });
        return Err(advise(error, key, &|near| format!("{{{near}}}")));
    }
    let mut wanted = rules.only_for.iter().map(|(key, _)| key.as_str());
    match wanted.find(unknown) {
        Some(key) => {
            let error = Error::usage("--head-for names a key that is not in --group-by").with("key", escaped(key));
            Err(advise(error, key, &|near| format!("--head-for {near}=…")))
        }
        None => Ok(()),
    }
}

/// Whether a key looks like one that tells layers apart, whose heads are not each other's.
fn tells_layers(key: &str) -> bool {
    let key = key.to_lowercase();
    ["layer", "block", "depth", "module", "hook"].iter().any(|word| key.contains(word))
}

/// Whether a key looks like an epoch, a step or a model, each of which has a head of its own.
fn tells_models(key: &str) -> bool {
    let key = key.to_lowercase();
    let words = ["epoch", "step", "iter", "checkpoint", "ckpt", "run", "seed", "model", "trial", "fold"];
    words.iter().any(|word| key.contains(word))
}

/// The keys that name layers and appear neither in the head's path nor in `--head-for`.
pub(super) fn unsaid_layers(source: &HeadSource, rules: &HeadRules, group_by: &[String]) -> Vec<usize> {
    let said = |name: &String| {
        source.keys().iter().any(|key| key == name) || rules.only_for.iter().any(|(key, _)| key == name)
    };
    (0..group_by.len()).filter(|&at| tells_layers(&group_by[at]) && !said(&group_by[at])).collect()
}

impl Heads {
    /// Finds the heads of those groups that are to have one.
    pub(super) fn find(&mut self, groups: &[Candidate], labels: &Labels, spellings: &Spellings) -> Result<()> {
        let mut missing: Vec<HeadPath> = Vec::new();
        let mut outlines: BTreeMap<String, Arc<Outline>> = BTreeMap::new();
        for Candidate { key, dim } in groups {
            if !self.is_wanted(key) {
                self.services.insert(key.clone(), Service::None(NOT_FOR_GROUP));
                continue;
            }
            if let Some(lambda) = self.source.least_squares() {
                self.services.insert(key.clone(), Service::LeastSquares(lambda));
                continue;
            }
            let path = self.source.fill(&named(&self.group_by, key), spellings);
            let path = path.map_err(|error| locate(error, &self.group_by, key))?;
            let service = if path.exists() {
                let outline = if let Some(known) = outlines.get(&path.to_string()) {
                    known.clone()
                } else {
                    let read = Outline::read(&path, self.transposed);
                    let named = |error| self.name_tensor(error, &path, (labels.least_classes(key), *dim));
                    Arc::new(read.map_err(named).map_err(|error| locate(error, &self.group_by, key))?)
                };
                outlines.insert(path.to_string(), outline.clone());
                Service::Head(outline)
            } else {
                if !missing.contains(&path) {
                    missing.push(path);
                }
                Service::None(MISSING)
            };
            self.services.insert(key.clone(), service);
        }
        if !groups.is_empty() && groups.iter().all(|group| !self.is_wanted(&group.key)) {
            return Err(self.for_nobody(groups));
        }
        match missing.as_slice() {
            [] => Ok(()),
            missing if self.rules.missing == Policy::Fail || outlines.is_empty() => {
                Err(not_there(missing, outlines.len()))
            }
            missing => {
                self.notes.push(format!("{} of {} heads are not there", missing.len(), missing.len() + outlines.len()));
                Ok(())
            }
        }
    }

    /// Where it is not clear which tensor is meant, names one that fits the group. Networks mostly end with it.
    fn name_tensor(&self, error: Error, path: &HeadPath, (classes, dim): (usize, Option<usize>)) -> Error {
        let Some(dim) = dim.filter(|_| HeadPath::is_ambiguous(&error)) else { return error };
        match path.fitting_layers(classes, dim, self.transposed).unwrap_or_default().last() {
            Some(layer) => {
                error.help(format!("name that of the logits, as --head {}", escaped(&self.source.with_tensor(layer))))
            }
            None => error,
        }
    }

    /// Whether `--head-for` speaks of this group.
    fn is_wanted(&self, key: &Key) -> bool {
        self.group_by.iter().zip(key).all(|(name, value)| {
            let mut wanted = self.rules.only_for.iter().filter(|(key, _)| key == name).peekable();
            wanted.peek().is_none() || wanted.any(|(_, text)| value.kind().parse(text).as_ref() == Some(value))
        })
    }

    fn for_nobody(&self, groups: &[Candidate]) -> Error {
        let wanted: Vec<String> = self.rules.only_for.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut error = Error::usage("--head-for speaks of no group").with("head for", escaped(&wanted.join(" ")));
        let mut near = Vec::new();
        for (at, name) in self.group_by.iter().enumerate() {
            let Some((_, text)) = self.rules.only_for.iter().find(|(key, _)| key == name) else { continue };
            let values: BTreeSet<&Label> = groups.iter().map(|group| &group.key[at]).collect();
            let values: Vec<String> = values.into_iter().map(ToString::to_string).collect();
            let found = values.iter().take(LISTED).map(|value| escaped(value)).collect::<Vec<_>>().join(", ");
            let more = if values.len() > LISTED { ", …" } else { "" };
            error = error.with("detail", format!("{} has {found}{more}", escaped(name)));
            near.extend(nearest(text, values.iter().map(String::as_str)).first().map(|near| format!("{name}={near}")));
        }
        match near.first() {
            Some(near) => error.help(format!("did you mean --head-for {}?", escaped(near))),
            None => error,
        }
    }

    /// A head whose path names no layer, in a run of several: it is applied to the only one that it fits, or refused.
    pub(super) fn part_layers(&mut self, groups: &[Candidate]) -> Result<()> {
        let dims: BTreeMap<&Key, usize> = groups.iter().filter_map(|group| Some((&group.key, group.dim?))).collect();
        for at in unsaid_layers(&self.source, &self.rules, &self.group_by) {
            let served: Vec<(Key, Arc<Outline>)> = self.served().map(|(k, o)| (k.clone(), o.clone())).collect();
            let values: BTreeSet<&Label> = served.iter().map(|(key, _)| &key[at]).collect();
            if values.len() < 2 {
                continue;
            }
            let mut fitting: BTreeSet<&Label> = BTreeSet::new();
            for (key, outline) in &served {
                if dims.get(key).is_none_or(|&dim| dim == outline.dim()) {
                    fitting.insert(&key[at]);
                }
            }
            let name = escaped(&self.group_by[at]);
            match fitting.iter().collect::<Vec<_>>().as_slice() {
                // Its shape is wrong for all of them, which the next check says.
                [] => {}
                [only] => {
                    for (key, _) in served.iter().filter(|(key, _)| key[at] != ***only) {
                        self.services.insert(key.clone(), Service::None(DOES_NOT_FIT));
                    }
                    let only = escaped(&only.to_string());
                    self.notes.push(format!("the head fits {name}={only} alone, and is for it"));
                }
                [.., last] => {
                    let listed: Vec<String> =
                        fitting.iter().take(LISTED).map(|value| escaped(&value.to_string())).collect();
                    let more = if fitting.len() > LISTED { ", …" } else { "" };
                    return Err(Error::usage("one head fits several layers")
                        .with("head", escaped(&self.source.to_string()))
                        .with("detail", format!("{name}: {}{more}", listed.join(", ")))
                        .help(format!("--head-for {name}={}, or {{{name}}} in its path", escaped(&last.to_string()))));
                }
            }
        }
        Ok(())
    }

    /// Widths, and that every class known so far has its row.
    pub(super) fn check(&mut self, groups: &[Candidate], labels: &Labels) -> Result<()> {
        let naming = &self.rules.naming;
        for Candidate { key, dim } in groups {
            let Some(Service::Head(outline)) = self.services.get(key) else { continue };
            let check = || {
                dim.map_or(Ok(()), |dim| outline.check_dim(None, dim))?;
                naming.way(outline, labels.kind, &labels.all)?;
                let known: Vec<Label> = labels.of_groups.get(key).into_iter().flatten().cloned().collect();
                naming.rows(outline, &known).map(|_| ())
            };
            check().map_err(|error| self.suggest(locate(error, &self.group_by, key), groups))?;
        }
        naming.check_names(&labels.all.iter().cloned().collect::<Vec<_>>())?;
        if self.served().any(|(_, outline)| outline.is_square()) {
            self.notes.push(SQUARE.to_owned());
        }
        Ok(())
    }

    /// Where a head is too wide for one group, but fits others, says how to tell them apart.
    fn suggest(&self, error: Error, groups: &[Candidate]) -> Error {
        if error.advice().is_some() {
            return error;
        }
        let fits = |group: &&Candidate| match self.services.get(&group.key) {
            Some(Service::Head(outline)) => group.dim.is_some_and(|dim| dim == outline.dim()),
            _ => false,
        };
        let (fitting, others): (Vec<_>, Vec<_>) = groups.iter().partition(fits);
        let tells =
            |at: &usize| others.iter().all(|other| fitting.iter().all(|group| group.key[*at] != other.key[*at]));
        match (fitting.last(), (0..self.group_by.len()).find(tells)) {
            (Some(group), Some(at)) if error.fact("features").is_some() => {
                let value = escaped(&group.key[at].to_string());
                error.help(format!("if it is of that alone: --head-for {}={value}", escaped(&self.group_by[at])))
            }
            _ if error.fact("features").is_some() => error.help("--where chooses the layer that it is of"),
            _ => error,
        }
    }

    /// One head for several moments or models may be meant, and may be a slip.
    pub(super) fn note_models(&mut self) {
        let keys = self.source.keys();
        let shared: Vec<usize> = (0..self.group_by.len())
            .filter(|&at| tells_models(&self.group_by[at]) && !keys.contains(&self.group_by[at].as_str()))
            .collect();
        let mut notes = Vec::new();
        for at in shared {
            let mut values: BTreeMap<String, BTreeSet<&Label>> = BTreeMap::new();
            for (key, outline) in self.served() {
                values.entry(outline.path().to_string()).or_default().insert(&key[at]);
            }
            let most = values.values().map(BTreeSet::len).max().unwrap_or(0);
            if most > 1 {
                let name = escaped(&self.group_by[at]);
                notes.push(format!("one head for {most} values of {name}; {{{name}}} in its path gives each its own"));
            }
        }
        self.notes.extend(notes);
    }
}

/// All heads that are missing, where so many others were found.
fn not_there(missing: &[HeadPath], found: usize) -> Error {
    let first = missing.first().map_or(String::new(), ToString::to_string);
    if missing.len() + found == 1 {
        return Error::missing("there is no such head").with("file", escaped(&first));
    }
    let all = missing.len() + found;
    let listed = missing.iter().take(LISTED).map(|path| escaped(&path.to_string())).collect::<Vec<_>>().join(", ");
    let more = if missing.len() > LISTED { format!(" and {} more", missing.len() - LISTED) } else { String::new() };
    let error = Error::missing("heads are not there")
        .with("missing", format!("{} of {all}", missing.len()))
        .with("detail", format!("{listed}{more}"));
    if found == 0 { error } else { error.help("--on-missing-head null leaves their groups without") }
}
