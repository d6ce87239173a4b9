//! What attache knows, in memory: one immutable [`Snapshot`], swapped whole.
//!
//! Sources write through a [`ScopeWriter`] each; everybody else holds a [`Reader`]. The store
//! knows neither where data comes from nor who reads it.
//!
//! Reading order: [`object`] and [`content`] (a ConfigMap, its values and their ETags), [`discovered`] (a
//! Service, an EndpointSlice), [`scope`] (one watch, one
//! directory, one mount), [`snapshot`] (their union), [`writer`] and [`reader`] (how it changes and is followed), [`diff`]
//! (what changed), [`demand`] (how a reader asks for what nobody watches).

pub mod content;
pub mod demand;
pub mod diff;
pub mod discovered;
pub mod object;
pub mod reader;
pub mod scope;
pub mod snapshot;
pub mod writer;

pub use content::{Content, ETag, Tags, Value};
pub use discovered::{Discovered, EndpointSlice};
pub use object::{Kind, Object, ObjectRef, PAUSE, RawObject};
pub use reader::Reader;
pub use scope::{Contact, Scope, ScopeSpec, Selects};
pub use snapshot::{Lookup, Snapshot};
pub use writer::{ScopeWriter, Writer, new};
