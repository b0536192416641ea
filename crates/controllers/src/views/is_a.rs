//! Views as resources of the API.

/// Lets a view be read and watched as the kind that it is a view of: `is_a!(View, Kind)`, or
/// `is_a!(View<K>, K where K: Bound)`. Where its metadata is no field of that name, how to get at it follows.
macro_rules! is_a {
    ($view:ty, $kind:ty $(where $of:ident: $bound:path)?) => {
        $crate::views::is_a!(
            $view, $kind $(where $of: $bound)?, |view| &view.metadata, |view| &mut view.metadata
        );
    };
    (
        $view:ty, $kind:ty $(where $of:ident: $bound:path)?,
        |$view_of:ident| $metadata:expr, |$view_mut:ident| $metadata_mut:expr
    ) => {
        impl$(<$of: $bound>)? kube::Resource for $view {
            type DynamicType = <$kind as kube::Resource>::DynamicType;
            type Scope = <$kind as kube::Resource>::Scope;

            fn metadata_api() -> bool {
                <$kind as kube::Resource>::metadata_api()
            }

            fn kind(kind: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::kind(kind)
            }

            fn group(kind: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::group(kind)
            }

            fn version(kind: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::version(kind)
            }

            fn api_version(kind: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::api_version(kind)
            }

            fn plural(kind: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::plural(kind)
            }

            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                let $view_of = self;
                $metadata
            }

            fn meta_mut(
                &mut self,
            ) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                let $view_mut = self;
                $metadata_mut
            }
        }
    };
}

pub(crate) use is_a;
