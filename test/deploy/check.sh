#!/usr/bin/env bash
# Checks the Kubernetes manifests, alone and with each component, against the schemas of
# Kubernetes and of the operators' resources. Tools and schemas come from Go modules.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

kustomize=sigs.k8s.io/kustomize/kustomize/v5@v5.6.0
validate=sigs.k8s.io/kubectl-validate@v0.0.4
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
keda=github.com/kedacore/keda/v2@v2.21.0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# module prints the folder with a module's source.
module() {
	(cd "$work" && go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'
}

mkdir "$work/crds" "$work/tree" "$work/tree/all"
cp "$(module "$operator")/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml" "$work/crds/"
cp "$(module "$keda")/config/crd/bases/keda.sh_scaledobjects.yaml" "$work/crds/"
chmod -R u+w "$work/crds"
cp -r deploy/kubernetes "$work/tree/kubernetes"
cat >"$work/tree/all/kustomization.yaml" <<-END
	apiVersion: kustomize.config.k8s.io/v1beta1
	kind: Kustomization
	namespace: compliance
	resources: [../kubernetes/base]
	components: [../kubernetes/components/keda]
END

mkdir "$work/built"
go run "$kustomize" build deploy/kubernetes/base >"$work/built/base.yaml"
go run "$kustomize" build "$work/tree/all" >"$work/built/all.yaml"
go run "$validate" "$work/built" --local-crds "$work/crds" --version 1.30
