package kubernetes

import (
	"crypto/x509"
	"maps"
	"slices"
	"strings"

	"mcp-gateway/controlplane/api/v1alpha1"
)

// secret returns a value of a Secret for an object of a kind in a namespace.
// Messages name the Secret and the key, never what is in it.
func (x *index) secret(ref v1alpha1.SecretKeyReference, from referrer) (string, *finding) {
	at := key{Namespace: or(ref.Namespace, from.namespace), Name: ref.Name}
	data, wrong := x.secretData(at, from)
	if wrong != nil {
		return "", wrong
	}
	value, ok := data[or(ref.Key, "token")]
	if !ok || len(value) == 0 {
		return "", unresolved(v1alpha1.ReasonSecretNotFound, "Secret %s has nothing under %q", at, or(ref.Key, "token"))
	}
	return trimBreak(string(value)), nil
}

func (x *index) secretData(at key, from referrer) (map[string][]byte, *finding) {
	switch s := x.secrets[at]; {
	case !x.permits(from, "", "Secret", at):
		return nil, notPermitted("Secret", at)
	case !x.readable[at.Namespace]:
		return nil, unresolved(v1alpha1.ReasonSecretNotReadable,
			"the controller reads no Secrets of namespace %s: name it in its --secret-namespaces, and bind its Role there", at.Namespace)
	case s == nil:
		return nil, unresolved(v1alpha1.ReasonSecretNotFound, "there is no Secret %s", at)
	default:
		return s.Data, nil
	}
}

// configMap returns a value of a ConfigMap.
func (x *index) configMap(at key, name string) (string, *finding) {
	if !x.readable[at.Namespace] {
		return "", unresolved(v1alpha1.ReasonSecretNotReadable,
			"the controller reads no ConfigMaps of namespace %s: name it in its --secret-namespaces, and bind its Role there", at.Namespace)
	}
	c := x.configMaps[at]
	if c == nil || c.Data[name] == "" {
		return "", unresolved(v1alpha1.ReasonTargetNotFound, "there is no ConfigMap %s with %q", at, name)
	}
	return c.Data[name], nil
}

// caKey is where a ConfigMap or Secret has authorities, as for BackendTLSPolicy.
const caKey = "ca.crt"

// certificates are the authorities in all of refs.
func (x *index) certificates(refs []v1alpha1.CertificateReference, from referrer) (string, *finding) {
	var out strings.Builder
	for _, ref := range refs {
		at := key{Namespace: from.namespace, Name: ref.Name}
		var text string
		var wrong *finding
		if ref.Kind == "Secret" {
			text, wrong = x.secret(v1alpha1.SecretKeyReference{Name: ref.Name, Key: caKey}, from)
		} else {
			text, wrong = x.configMap(at, caKey)
		}
		if wrong == nil && !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
			wrong = unresolved(v1alpha1.ReasonInvalidCertificateRef, "%s %s has no certificate in PEM under %s", ref.Kind, at, caKey)
		}
		if wrong != nil {
			return "", wrong
		}
		out.WriteString(strings.TrimRight(text, "\n") + "\n")
	}
	return out.String(), nil
}

// trimBreak takes a line break from the end, which editors and echo put there.
func trimBreak(s string) string {
	for len(s) > 0 && (s[len(s)-1] == '\n' || s[len(s)-1] == '\r') {
		s = s[:len(s)-1]
	}
	return s
}

// sortedNames are the names in a Secret.
func sortedNames(data map[string][]byte) []string { return slices.Sorted(maps.Keys(data)) }
