//! `resources`: a `ResourceRequirements` (Kubernetes API, core/v1), and the quantities in it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::errors::Faults;
use super::super::yaml::{self, Node};

/// What a container may be given, beside pages of a size.
const NAMES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// How the names of pages begin; their size follows.
const HUGE_PAGES: &str = "hugepages-";

/// Reads resources; `None` if there are none, or with a fault.
pub(super) fn resources(text: &str, at: &str, faults: &mut Faults) -> Option<Value> {
    let node = match yaml::parse_flag(text, at, "") {
        Ok(node) => node,
        Err(fault) => {
            faults.add_line(&fault);
            return None;
        }
    };
    let fields = node.fields(&["requests", "limits"], faults)?;
    let mut read = |key| fields.get(key).map(|node| list(node, faults));
    let (requests, limits) = (read("requests"), read("limits"));
    if let Some(requests) = &requests {
        check(requests, limits.as_ref(), faults);
    }
    let sections = [("requests", requests), ("limits", limits)];
    let sections: serde_json::Map<_, _> = sections
        .into_iter()
        .filter_map(|(key, list)| Some((key.to_owned(), as_json(list?))))
        .collect();
    (!sections.is_empty()).then_some(Value::Object(sections))
}

/// A quantity, where and as it was written, and how much it is in billionths.
struct Quantity {
    at: String,
    text: String,
    nanos: u128,
}

type ResourceList = BTreeMap<String, Quantity>;

fn as_json(list: ResourceList) -> Value {
    let quantities = list.into_iter();
    quantities
        .map(|(name, quantity)| (name, quantity.text))
        .collect()
}

fn list(node: &Node, faults: &mut Faults) -> ResourceList {
    let yaml::Value::Map(entries) = &node.value else {
        faults.add(&node.at, "expected quantities, as {cpu: 5m, memory: 12Mi}");
        return ResourceList::new();
    };
    let mut list = ResourceList::new();
    for (name, node) in entries {
        let pages = name.strip_prefix(HUGE_PAGES);
        if !NAMES.contains(&name.as_str()) && pages.is_none_or(|size| nanos(size).is_none()) {
            let fault = format!(
                "{name:?} is not known: use cpu, memory, ephemeral-storage or hugepages-SIZE"
            );
            faults.add(&node.at, fault);
            continue;
        }
        let parse = |text: &str| {
            nanos(text).map(|nanos| (text.to_owned(), nanos)).ok_or_else(|| {
                format!("{text:?} is not a quantity of Kubernetes: write it like 50m, 0.5, 32Mi or 1G")
            })
        };
        if let Some((text, nanos)) = node.read("a quantity, as 50m or 32Mi", parse, faults) {
            let at = node.at.clone();
            list.insert(name.clone(), Quantity { at, text, nanos });
        }
    }
    list
}

/// No request is above its limit; of pages, there is never more than what is asked for.
fn check(requests: &ResourceList, limits: Option<&ResourceList>, faults: &mut Faults) {
    for (name, request) in requests {
        let limit = limits.and_then(|limits| limits.get(name));
        if let Some(limit) = limit.filter(|limit| request.nanos > limit.nanos) {
            let fault = format!(
                "{} is more than the limit, {}: lower it, or raise the limit",
                request.text, limit.text
            );
            faults.add(&request.at, fault);
        } else if name.starts_with(HUGE_PAGES)
            && limit.is_none_or(|limit| limit.nanos != request.nanos)
        {
            faults.add(&request.at, "pages need a limit that equals their request");
        }
    }
}

/// Billionths of a quantity that is not negative, rounded up, as Kubernetes rounds them; `None` if it
/// is none, or beyond what its 64 bits hold.
///
/// Source: the Kubernetes API's `resource.Quantity`.
fn nanos(text: &str) -> Option<u128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Trailing zeros say nothing, and what is beyond 18 digits is no quantity of anything.
    let fraction = fraction.trim_end_matches('0');
    if !number.contains(|c: char| c.is_ascii_digit()) || fraction.len() > 18 {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let nanos = digits.checked_mul(unit(suffix)?)?.div_ceil(scale);
    (nanos <= u128::from(u64::MAX >> 1) * unit("")?).then_some(nanos)
}

/// Billionths in one of the units of `suffix`.
fn unit(suffix: &str) -> Option<u128> {
    let power = |exponent: i32| {
        let exponent = u32::try_from(exponent.checked_add(9)?).ok()?;
        (exponent <= 27).then(|| 10_u128.pow(exponent))
    };
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if let Some(place) = decimal.iter().position(|known| *known == suffix) {
        return power(3 * i32::try_from(place).ok()? - 9);
    }
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(place) = binary.iter().position(|known| *known == suffix) {
        return Some((1_u128 << (10 * (place + 1))) * power(0)?);
    }
    power(suffix.strip_prefix(['e', 'E'])?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, wanted) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("+1.", 1_000_000_000),
            (".5", 500_000_000),
            ("0.100", 100_000_000),
            ("5m", 5_000_000),
            ("1n", 1),
            ("0.1n", 1),
            ("100u", 100_000),
            ("1.5Ki", 1_536_000_000_000),
            ("32Mi", 33_554_432_000_000_000),
            ("1G", 1_000_000_000_000_000_000),
            ("1e3", 1_000_000_000_000),
            ("1E-3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000_000_000),
            ("7Ei", 8_070_450_532_247_928_832_000_000_000),
        ] {
            assert_eq!(nanos(text), Some(wanted), "{text}");
        }
        for bad in [
            "",
            ".",
            "m",
            "-1",
            "1 m",
            "1.2.3",
            "1K",
            "1mi",
            "1MB",
            "e3",
            "1e",
            "1e99",
            "0x10",
            "8Ei",
            "10E",
            "1,5",
            "٣",
            "1e-10",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(nanos(bad), None, "{bad}");
        }
    }
}
