//! The configuration's names in the store's words.

use std::sync::Arc;

use crate::config::{ObjectKind, ObjectName, Selector, SelectorNamespace};
use crate::store::{Kind, ObjectRef, Selects};

/// Names objects in the default namespace where the configuration gives none.
#[derive(Debug, Clone)]
pub struct Names {
    default: Arc<str>,
}

// === impl Names ===

impl Names {
    /// `default` is the namespace of names that give none.
    #[must_use]
    pub fn new(default: Arc<str>) -> Self {
        Self { default }
    }

    /// One object.
    #[must_use]
    pub fn object(&self, of: ObjectKind, name: &ObjectName) -> ObjectRef {
        let namespace = name.namespace.as_deref().unwrap_or(&self.default);
        ObjectRef::new(kind(of), namespace, &*name.name)
    }

    /// What a selector selects.
    #[must_use]
    pub fn selected(&self, selector: &Selector) -> Selects {
        Selects::Selector {
            kind: kind(selector.kind),
            namespace: match &selector.namespace {
                SelectorNamespace::Default => Some(Arc::clone(&self.default)),
                SelectorNamespace::Named(name) => Some(name.as_str().into()),
                SelectorNamespace::All => None,
            },
            labels: selector.labels.as_str().into(),
        }
    }
}

fn kind(kind: ObjectKind) -> Kind {
    match kind {
        ObjectKind::ConfigMap => Kind::ConfigMap,
        ObjectKind::Secret => Kind::Secret,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_without_a_namespace_is_in_the_default_one() {
        let names = Names::new("mine".into());
        let object = |namespace: Option<&str>| {
            let name = ObjectName {
                namespace: namespace.map(str::to_owned),
                name: "web".into(),
            };
            names.object(ObjectKind::Secret, &name).to_string()
        };
        assert_eq!(object(None), "Secret mine/web");
        assert_eq!(object(Some("other")), "Secret other/web");
    }
}
