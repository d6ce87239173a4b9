//! The caBundle of the MutatingWebhookConfiguration.
