//! Views that were asked for of late, so that any number of streams on one cost one rendering a change.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::target::Target;
use crate::discover::{self, Objects, View};

/// How many are kept.
const MOST: usize = 64;

/// The views asked for last.
#[derive(Default)]
pub(super) struct Views(Mutex<VecDeque<Kept>>);

struct Kept {
    target: Arc<Target>,
    /// Of what it was made. An allocation that is pointed to is not used again for other objects, even
    /// when it holds them no more.
    services: Weak<Objects>,
    slices: Option<Weak<Objects>>,
    /// `None`: there is no such Service.
    view: Option<Arc<View>>,
}

// === impl Views ===

impl Views {
    /// The view of these objects; `None` where there is no such Service. `slices` are needed for the
    /// view of one Service.
    pub(super) fn get(
        &self,
        target: &Arc<Target>,
        services: &Arc<Objects>,
        slices: Option<&Arc<Objects>>,
    ) -> Option<Arc<View>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|kept| kept.target == *target);
        let before = at.and_then(|at| kept.remove(at));
        let now = match before {
            Some(before) if before.is_of(services, slices) => before,
            before => {
                let before = before.and_then(|before| before.view);
                Kept {
                    target: Arc::clone(target),
                    services: Arc::downgrade(services),
                    slices: slices.map(Arc::downgrade),
                    view: render(target, services, slices).map(|view| unless_same(view, before)),
                }
            }
        };
        let view = now.view.clone();
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(now);
        view
    }
}

// === impl Kept ===

impl Kept {
    fn is_of(&self, services: &Arc<Objects>, slices: Option<&Arc<Objects>>) -> bool {
        let is = |kept: &Weak<Objects>, objects| std::ptr::eq(kept.as_ptr(), Arc::as_ptr(objects));
        is(&self.services, services)
            && match (&self.slices, slices) {
                (Some(kept), Some(objects)) => is(kept, objects),
                (kept, objects) => kept.is_none() && objects.is_none(),
            }
    }
}

fn render(target: &Target, services: &Objects, slices: Option<&Arc<Objects>>) -> Option<View> {
    match (&target.service, slices) {
        (Some(name), Some(slices)) => discover::service(name, services, slices, &target.filter),
        _ => Some(discover::services(services)),
    }
}

/// Other Services of the namespace change, too: a view that says the same with the same versions stays,
/// with what was made of it.
fn unless_same(view: View, before: Option<Arc<View>>) -> Arc<View> {
    match before {
        Some(before) if before.says_the_same(&view) => before,
        _ => Arc::new(view),
    }
}

#[cfg(test)]
impl Views {
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
