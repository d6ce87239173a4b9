//! `$(VARIABLE)` in a container's arguments, as the kubelet expands it (Kubernetes API, `Container.args`).

use std::collections::BTreeMap;

use super::pod::Container;

/// The arguments and the environment that a container's program gets, as far as the pod says it.
///
/// Variables of other sources (`valueFrom`, `envFrom`) are not known: their `$(VARIABLE)` stays.
pub(super) fn expanded(container: &Container) -> (Vec<String>, BTreeMap<String, String>) {
    let mut variables = BTreeMap::new();
    for (name, value) in container.environment() {
        // Of those before it alone.
        let value = expand(value, &variables);
        variables.insert(name.to_owned(), value);
    }
    let arguments = container.arguments();
    let arguments = arguments.map(|argument| expand(argument, &variables));
    (arguments.collect(), variables)
}

fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let reference = after
            .strip_prefix('(')
            .and_then(|name| name.split_once(')'));
        if let Some((name, after)) = reference {
            match variables.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded_as_the_kubelet_does() {
        let variables = [("NAME", "web"), ("EMPTY", ""), ("NESTED", "$(NAME)")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = BTreeMap::from(variables);
        for (text, expected) in [
            ("--configmap=$(NAME)", "--configmap=web"),
            ("$(NAME)$(NAME)-$(EMPTY)", "webweb-"),
            ("$(NESTED)", "$(NAME)"),
            ("$(UNKNOWN)/$(NAME)", "$(UNKNOWN)/web"),
            ("$$(NAME) $$$(NAME)", "$(NAME) $web"),
            ("$NAME ${NAME} 5$", "$NAME ${NAME} 5$"),
            ("$(NAME", "$(NAME"),
            ("$$", "$"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
    }
}
