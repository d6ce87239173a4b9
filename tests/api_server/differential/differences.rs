//! Where attache answers otherwise than `kubectl proxy`, on purpose. Whatever is not here is equal,
//! and what is here must differ as it says. `docs/kubectl-proxy.md` has the reasons.

/// Which versions of kubectl.
#[derive(Debug, Clone, Copy)]
pub enum Of {
    Any,
    /// Minor versions below this.
    Before(u32),
    /// This minor version and later.
    From(u32),
}

impl Of {
    pub fn holds(self, minor: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Before(first) => minor < first,
            Self::From(first) => minor >= first,
        }
    }
}

/// What both do in some cases.
#[derive(Debug)]
pub struct Difference {
    pub cases: &'static [&'static str],
    pub of: Of,
    /// Parts of kubectl's answer; not all are parts of attache's.
    pub kubectl: &'static [&'static str],
    /// Parts of attache's answer; not all are parts of kubectl's.
    pub attache: &'static [&'static str],
    /// The first cell of its row in the documentation's table.
    pub why: &'static str,
}

/// A line of what the upstream receives that differs in request after request.
#[derive(Debug)]
pub struct Rule {
    pub of: Of,
    /// How kubectl's line begins.
    pub kubectl: &'static str,
    /// How attache's begins that stands in its place; empty: there is none.
    pub attache: &'static str,
    /// As in [`Difference`].
    pub why: &'static str,
}

pub const RULES: &[Rule] = &[
    Rule {
        of: Of::Any,
        kubectl: "accept-encoding: gzip",
        attache: "",
        why: "A request without `Accept-Encoding`",
    },
    Rule {
        of: Of::Before(21),
        kubectl: "host: PROXY",
        attache: "host: UPSTREAM",
        why: "`Host` as the API server gets it",
    },
    Rule {
        of: Of::Any,
        kubectl: "user-agent: kubectl/",
        attache: "user-agent: attache/",
        why: "A request without `User-Agent`",
    },
];

pub const DIFFERENCES: &[Difference] = &[];
