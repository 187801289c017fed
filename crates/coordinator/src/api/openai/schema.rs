//! OpenAPI schemas of bodies that are read as several sets of fields (see [`body`](crate::api::common::body)).

/// Makes `$request` the schema of everything in its parts.
macro_rules! all_of {
    ($request:ty, $name:literal, $($part:ty),+) => {
        impl utoipa::PartialSchema for $request {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::AllOfBuilder::new()
                    $(.item(utoipa::openapi::Ref::from_schema_name(<$part as utoipa::ToSchema>::name())))+
                    .into()
            }
        }

        impl utoipa::ToSchema for $request {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }

            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                $(
                    let name = <$part as utoipa::ToSchema>::name().into_owned();
                    schemas.push((name, <$part as utoipa::PartialSchema>::schema()));
                    <$part as utoipa::ToSchema>::schemas(schemas);
                )+
            }
        }
    };
}

pub(super) use all_of;
