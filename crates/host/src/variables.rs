//! What variables say, as a struct of texts. Reads no environment.

/// Declares a struct whose fields are texts, and how it is filled: each is the value of the variable that ends with
/// its name.
///
/// `data_dir` is `ETCD_DATA_DIR` where the prefix is `ETCD_`. A variable that is not there is `None`.
#[macro_export]
macro_rules! of_variables {
    ($(#[$about:meta])* pub struct $name:ident { $(pub $field:ident: Option<String>,)* }) => {
        $(#[$about])*
        pub struct $name {
            $(pub $field: Option<String>,)*
        }

        impl $name {
            /// By the values of these variables, of which it takes those with this prefix.
            pub fn of_variables(
                prefix: &str,
                values: &std::collections::BTreeMap<String, String>,
            ) -> Self {
                let value = |field: &str| {
                    let name = field.trim_start_matches("r#").to_ascii_uppercase();
                    values.get(&format!("{prefix}{name}")).cloned()
                };
                $name {
                    $($field: value(stringify!($field)),)*
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    of_variables! {
        #[derive(Debug, PartialEq)]
        pub struct Both {
            pub r#as: Option<String>,
            pub data_dir: Option<String>,
        }
    }

    #[test]
    fn a_field_has_the_value_of_its_variable() {
        let values = [("A_AS", "1"), ("B_DATA_DIR", "2")];
        let values = values.map(|(name, value)| (name.into(), value.into()));
        let both = Both::of_variables("A_", &values.into());
        assert_eq!((both.r#as.as_deref(), both.data_dir), (Some("1"), None));
    }
}
