//! PodDisruptionBudgets: which pods they are for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde::Deserialize;

/// A PodDisruptionBudget (`policy/v1`), as far as it says which pods it is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Budget {
    spec: BudgetSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BudgetSpec {
    selector: Option<LabelSelector>,
}

// === impl Budget ===

impl Budget {
    /// Whether it is for pods with these labels. An empty selector is for all of them in
    /// `policy/v1`, and for none in `policy/v1beta1`.
    #[must_use]
    pub fn covers(&self, labels: &BTreeMap<String, String>, empty_is_all: bool) -> bool {
        let selector = self.spec.selector.clone();
        let Some(Ok(selector)) = selector.map(Selector::try_from) else {
            return false;
        };
        if selector.selects_all() {
            empty_is_all
        } else {
            selector.matches(labels)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_is_for_the_pods_that_its_selector_matches() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let expression = |operator: &str, values: &[&str]| {
            json!({"selector": {"matchExpressions": [
                {"key": "app", "operator": operator, "values": values}]}})
        };
        for (spec, v1, v1beta1) in [
            (
                json!({"selector": {"matchLabels": {"app": "web"}}}),
                true,
                true,
            ),
            (
                json!({"selector": {"matchLabels": {"app": "db"}}}),
                false,
                false,
            ),
            (
                json!({"selector": {"matchLabels": {"app": "web", "tier": "front"}}}),
                false,
                false,
            ),
            (expression("In", &["web", "db"]), true, true),
            (expression("NotIn", &["web"]), false, false),
            (expression("Exists", &[]), true, true),
            (expression("DoesNotExist", &[]), false, false),
            (expression("Nonsense", &[]), false, false),
            (json!({"selector": {}}), true, false),
            (json!({}), false, false),
        ] {
            let budget: Budget = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(budget.covers(&labels, true), v1, "{spec}");
            assert_eq!(budget.covers(&labels, false), v1beta1, "{spec}");
        }
    }
}
