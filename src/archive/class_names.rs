//! What classes are called by the schemas of Hugging Face's `datasets`.

use serde_json::{Value, json};

/// Under which key of a schema's metadata `datasets` keeps the features.
pub(super) const KEY: &str = "huggingface";

/// The longest description of features that is read.
const LIMIT: usize = 1 << 26;

/// The names of a `ClassLabel` that a column is, by the metadata of its file.
pub(super) fn of_metadata(text: &str, column: &str) -> Option<Vec<String>> {
    if text.len() > LIMIT {
        return None;
    }
    let metadata: Value = serde_json::from_str(text).ok()?;
    let features = metadata.get("info")?.get("features")?;
    // A name may have dots, or lead to the field of a struct.
    let field = || column.split('.').try_fold(features, |at: &Value, name| at.get(name));
    let label = features.get(column).or_else(field)?;
    if label.get("_type")?.as_str()? != "ClassLabel" {
        return None;
    }
    let names: Option<Vec<String>> =
        label.get("names")?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    names.filter(|names| !names.is_empty())
}

/// The metadata that says what the classes of a column are called.
pub(crate) fn metadata(column: &str, names: &[String]) -> (String, String) {
    let label = json!({ "names": names, "_type": "ClassLabel" });
    (KEY.to_owned(), json!({ "info": { "features": { column: label } } }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labels_of_classes_have_names() {
        let text = r#"{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
            "meta": {"kind": {"names": ["a"], "_type": "ClassLabel"}},
            "emb": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"},
            "id": {"dtype": "int64", "_type": "Value"}}}}"#;
        assert_eq!(of_metadata(text, "label").unwrap(), ["cat", "dog"]);
        assert_eq!(of_metadata(text, "meta.kind").unwrap(), ["a"]);
        let names = ["a.b".to_owned(), "c".to_owned()];
        assert_eq!(of_metadata(&metadata("meta.kind", &names).1, "meta.kind").unwrap(), names);
        for column in ["emb", "id", "none", "meta"] {
            assert_eq!(of_metadata(text, column), None, "{column}");
        }
        assert_eq!(of_metadata("not JSON", "label"), None);
        assert_eq!(
            of_metadata(
                "{\"info\": {\"features\": {\"label\": {\"names\": [1], \"_type\": \"ClassLabel\"}}}}",
                "label"
            ),
            None
        );
    }
}
