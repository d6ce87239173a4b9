//! Whether somebody has the rights that a configuration needs.

use std::collections::BTreeMap;

use super::api::{Api, ApiError, Ask, Subject};
use super::findings::Finding;
use crate::inject::rights::Right;

/// Asks each question once.
#[derive(Default)]
pub(super) struct Access {
    answers: BTreeMap<(Subject, Ask), bool>,
}

// === impl Access ===

impl Access {
    /// What `subject`, shown as `who`, lacks of `rights`.
    pub(super) async fn check(
        &mut self,
        api: &Api,
        subject: &Subject,
        who: &str,
        rights: &[Right],
    ) -> Vec<Finding> {
        let mut lacking = Vec::new();
        for right in rights {
            let mut refused = false;
            for verb in right.verbs {
                match self.may(api, subject, Ask::of(right, verb)).await {
                    Ok(allowed) => refused |= !allowed,
                    Err(error) if error.is_forbidden() && *subject != Subject::Own => {
                        return vec![Finding::note(
                            "the rights of ServiceAccounts are not checked: that takes the right to create \
                             subjectaccessreviews (authorization.k8s.io), which you lack",
                        )];
                    }
                    Err(error) => {
                        return vec![Finding::unknown(format!(
                            "rights cannot be asked for: {error}"
                        ))];
                    }
                }
            }
            if refused {
                lacking.push(right.clone());
            }
        }
        findings(&lacking, rights.len(), who)
    }

    async fn may(&mut self, api: &Api, subject: &Subject, ask: Ask) -> Result<bool, ApiError> {
        let key = (subject.clone(), ask);
        if let Some(answer) = self.answers.get(&key) {
            return Ok(*answer);
        }
        let answer = api.may(subject, &key.1).await?;
        self.answers.insert(key, answer);
        Ok(answer)
    }
}

/// A finding for each rule that a Role lacks; rights that differ in the name alone make one.
fn findings(lacking: &[Right], needed: usize, who: &str) -> Vec<Finding> {
    if needed == 0 {
        return Vec::new();
    }
    if lacking.is_empty() {
        return vec![Finding::ok(format!(
            "{who} has all rights that it needs ({needed})"
        ))];
    }
    let mut rules: BTreeMap<Right, Vec<&Right>> = BTreeMap::new();
    for right in lacking {
        let key = Right {
            name: right.rule_name().map(|_| String::new()),
            ..right.clone()
        };
        rules.entry(key).or_default().push(right);
    }
    let rule = |(key, rights): (Right, Vec<&Right>)| {
        let names: Vec<&str> = rights.iter().filter_map(|r| r.rule_name()).collect();
        let what = match names.is_empty() {
            true => String::new(),
            false => format!(" {}", names.join(", ")),
        };
        let why = match &key.asked_by {
            None => String::new(),
            Some(what) => format!(", which {what} needs"),
        };
        let place = match &key.namespace {
            Some(namespace) => format!("Role in namespace {namespace}"),
            None => "ClusterRole".to_owned(),
        };
        Finding::error(format!(
            "{who} may not {} {}{what}{why}: bind it to a {place} with the rule {}",
            key.verbs.join(", "),
            key.shown(),
            yaml(&key, &names)
        ))
    };
    rules.into_iter().map(rule).collect()
}

/// A rule of a Role, as YAML on one line.
fn yaml(right: &Right, names: &[&str]) -> String {
    let names = match names.is_empty() {
        true => String::new(),
        false => format!(", resourceNames: [{}]", names.join(", ")),
    };
    let group = match right.group {
        "" => "\"\"",
        group => group,
    };
    let verbs = right.verbs.join(", ");
    format!(
        "{{apiGroups: [{group}], resources: [{}]{names}, verbs: [{verbs}]}}",
        right.shown()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::findings::Level;

    use crate::doctor::tests::config;
    use crate::inject::rights::{Owner, Place, rights};

    #[test]
    fn a_missing_right_is_told_as_the_rule_that_gives_it() {
        let place = Place {
            namespace: "n".to_owned(),
            pod_namespace: "n".to_owned(),
            pod_name: Some("p".to_owned()),
            owner: None,
            is_bare: true,
        };
        let args = [
            "--configmap=a",
            "--configmap=b",
            "--secret-selector=*/x=y",
            "--on-change=restart: pod",
        ];
        let rights = rights(&config(&args), &place);
        let found = findings(&rights, rights.len(), "ServiceAccount n/s");
        let all: Vec<_> = found.iter().map(|f| f.text.as_str()).collect();
        assert!(found.iter().all(|f| f.level == Level::Error));
        assert_eq!(all.len(), 5, "{all:#?}");
        for expected in [
            "ServiceAccount n/s may not get, list, watch configmaps a, b: bind it to a Role in namespace n with the rule \
             {apiGroups: [\"\"], resources: [configmaps], resourceNames: [a, b], verbs: [get, list, watch]}",
            "ServiceAccount n/s may not list, watch secrets, which the selector x=y needs: bind it to a ClusterRole with the \
             rule {apiGroups: [\"\"], resources: [secrets], verbs: [list, watch]}",
            "ServiceAccount n/s may not create pods/eviction p, which onChange[0] needs: bind it to a Role in namespace n \
             with the rule {apiGroups: [\"\"], resources: [pods/eviction], resourceNames: [p], verbs: [create]}",
        ] {
            assert!(all.contains(&expected), "{expected}\n{all:#?}");
        }
        assert_eq!(findings(&[], 3, "it")[0].level, Level::Ok);
        assert!(findings(&[], 0, "it").is_empty());
    }

    #[test]
    fn the_rule_for_a_pod_that_a_controller_makes_anew_has_no_name() {
        let place = Place {
            namespace: "n".to_owned(),
            pod_namespace: "n".to_owned(),
            pod_name: Some("web-abc-1".to_owned()),
            owner: Some(Owner {
                kind: "Deployment".to_owned(),
                name: "web".to_owned(),
                replica_set: Some("web-abc".to_owned()),
            }),
            is_bare: false,
        };
        let rights = rights(&config(&["--on-change=restart: pod"]), &place);
        let names: Vec<_> = rights.iter().filter_map(|r| r.name.as_deref()).collect();
        assert_eq!(names, ["web-abc-1", "web-abc-1"], "it is asked for by name");
        let found = findings(&rights, rights.len(), "ServiceAccount n/s");
        let all: Vec<_> = found.iter().map(|f| f.text.as_str()).collect();
        assert_eq!(all.len(), 3, "{all:#?}");
        assert!(!all.iter().any(|text| text.contains("resourceNames")));
        let expected = "ServiceAccount n/s may not create pods/eviction, which onChange[0] needs: bind it to a Role in \
                        namespace n with the rule {apiGroups: [\"\"], resources: [pods/eviction], verbs: [create]}";
        assert!(all.contains(&expected), "{all:#?}");
    }
}
