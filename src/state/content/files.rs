//! The files of scopes and objects, and how they are named.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::super::clock::{Clock, Moment};
use super::super::seal::{hash, is_hash};
use crate::store::{Kind, Object, ObjectRef, RawObject};

pub(super) const DIR: &str = "scopes";
pub(super) const CONFIG_MAPS: &str = "configmap-";
pub(super) const SECRETS: &str = "secret-";
/// The file that makes a directory a scope.
pub(super) const SCOPE: &str = "scope";

pub(super) fn is_scope_dir(name: &str) -> bool {
    let hash = name
        .strip_prefix(CONFIG_MAPS)
        .or(name.strip_prefix(SECRETS));
    hash.is_some_and(is_hash)
}

/// Whether a file in a scope's directory may be ours.
pub(super) fn is_ours(name: &str) -> bool {
    name == SCOPE || is_hash(name)
}

pub(super) fn scope_dir(kind: Kind, name: &str) -> String {
    let prefix = match kind {
        Kind::Secret => SECRETS,
        _ => CONFIG_MAPS,
    };
    format!("{DIR}/{prefix}{}", hash(name))
}

pub(super) fn object_file(reference: &ObjectRef) -> String {
    hash(&format!("{}/{}", reference.namespace, reference.name))
}

#[derive(Serialize, Deserialize)]
pub(super) struct ScopeFile<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) contact: Moment,
    pub(super) objects: Vec<Name<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Name<'a> {
    pub(super) namespace: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
}

/// An object; of which kind, its scope's directory says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectFile<'a> {
    pub(super) namespace: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) uid: Cow<'a, str>,
    pub(super) resource_version: Cow<'a, str>,
    pub(super) annotations: Cow<'a, BTreeMap<String, String>>,
    pub(super) since: Moment,
    pub(super) data: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Base64 (RFC 4648, section 4), as in Kubernetes.
    pub(super) binary_data: BTreeMap<Cow<'a, str>, String>,
}

// === impl ObjectFile ===

impl<'a> ObjectFile<'a> {
    pub(super) fn new(object: &'a Object, clock: &Clock) -> Self {
        let reference = object.reference();
        let (mut data, mut binary_data) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in object.content().values() {
            let key = Cow::Borrowed(&**key);
            match value.text() {
                Some(text) => drop(data.insert(key, Cow::Borrowed(text))),
                None => drop(binary_data.insert(key, STANDARD.encode(&value.bytes))),
            }
        }
        Self {
            namespace: Cow::Borrowed(&reference.namespace),
            name: Cow::Borrowed(&reference.name),
            uid: Cow::Borrowed(object.uid()),
            resource_version: Cow::Borrowed(object.resource_version()),
            annotations: Cow::Borrowed(object.annotations()),
            since: clock.moment(object.content().since()),
            data,
            binary_data,
        }
    }

    /// `None` if what should be base64 is not.
    pub(super) fn into_raw(self, reference: ObjectRef) -> Option<RawObject> {
        let (mut data, mut binary_data) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in self.data {
            data.insert(key.into_owned(), value.into_owned());
        }
        for (key, value) in self.binary_data {
            binary_data.insert(key.into_owned(), STANDARD.decode(value).ok()?);
        }
        Some(RawObject {
            discovered: None,
            reference,
            uid: self.uid.into_owned(),
            resource_version: self.resource_version.into_owned(),
            annotations: self.annotations.into_owned(),
            data,
            binary_data,
        })
    }
}
