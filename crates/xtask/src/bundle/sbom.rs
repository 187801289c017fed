//! What the bundled programs are made of, as a CycloneDX file (version 1.5): every crate that is in one of them, with its
//! version, source, license and what it depends on. The page's few scripts are in ui/package-lock.json.

use super::{Profile, triple};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

/// The packages of the bundled programs.
const PROGRAMS: [&str; 2] = ["gogrid", "gogrid-desktop"];

/// Writes the file beside the bundles, and returns its path.
pub(super) fn write(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let triple = triple(workspace)?;
    let mut cargo = workspace.cargo(["metadata", "--format-version", "1", "--locked", "--filter-platform", &triple]);
    let output = cargo.output().context("cannot start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    let folder = profile.folder(workspace).join("bundle");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("gogrid.cdx.json");
    let text = serde_json::to_string_pretty(&sbom(&metadata)?)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The file's content, from what `cargo metadata` says.
fn sbom(metadata: &Value) -> Result<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes = list(&metadata["resolve"]["nodes"]);
    // What is linked in; tests' and build scripts' own dependencies are not.
    let linked = |node: &Value| -> Vec<String> {
        let is_linked = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        list(&node["deps"]).iter().filter(|dep| is_linked(dep)).map(|dep| text(&dep["pkg"])).collect()
    };
    let edges: BTreeMap<String, Vec<String>> = nodes.iter().map(|node| (text(&node["id"]), linked(node))).collect();

    let is_program = |package: &Value| PROGRAMS.contains(&text(&package["name"]).as_str());
    let mut open: Vec<String> =
        packages.iter().filter(|(_, package)| is_program(package)).map(|(id, _)| id.clone()).collect();
    ensure!(open.len() == PROGRAMS.len(), "not all of {PROGRAMS:?} are in the workspace");
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            open.extend(edges.get(&id).into_iter().flatten().cloned());
        }
    }
    let reference = |id: &String| {
        let package = &packages[id];
        format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
    };
    let component = |id: &String| {
        let package = &packages[id];
        let mut component = json!({
            "type": if is_program(package) { "application" } else { "library" },
            "bom-ref": reference(id),
            "name": package["name"],
            "version": package["version"],
            "purl": reference(id),
        });
        if let Some(license) = package["license"].as_str() {
            // Older crates write a slash.
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        component
    };
    let depends = |id: &String| {
        let on: BTreeSet<String> = edges.get(id).into_iter().flatten().map(reference).collect();
        json!({ "ref": reference(id), "dependsOn": on })
    };
    let version = packages.values().find(|package| is_program(package)).map(|package| &package["version"]);
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "name": "GoGrid", "version": version } },
        "components": seen.iter().map(component).collect::<Vec<_>>(),
        "dependencies": seen.iter().map(depends).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_in_is_listed_and_what_only_tests_use_is_not() {
        let package = |name: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0"});
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["gogrid", "gogrid-desktop", "serde", "itoa", "proptest", "cc"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": {"nodes": [
                {"id": "gogrid", "deps": [dep("serde", Value::Null), dep("proptest", json!("dev")), dep("cc", json!("build"))]},
                {"id": "gogrid-desktop", "deps": [dep("gogrid", Value::Null)]},
                {"id": "serde", "deps": [dep("itoa", Value::Null)]},
                {"id": "proptest", "deps": []}, {"id": "itoa", "deps": []}, {"id": "cc", "deps": []},
            ]},
        });
        let sbom = sbom(&metadata).unwrap();
        let names: Vec<_> = sbom["components"].as_array().unwrap().iter().map(|found| &found["name"]).collect();
        assert_eq!(names, ["gogrid", "gogrid-desktop", "itoa", "serde"]);
        let serde = &sbom["components"][3];
        assert_eq!(serde["purl"], "pkg:cargo/serde@1.0.0");
        assert_eq!(serde["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(sbom["dependencies"][3]["dependsOn"], json!(["pkg:cargo/itoa@1.0.0"]));
        assert!(super::sbom(&json!({"packages": [], "resolve": {"nodes": []}})).is_err());
    }
}
