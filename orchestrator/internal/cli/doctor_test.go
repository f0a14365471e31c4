package cli

import "testing"

func TestLocaleOf(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"C":           {},
		"de_DE.UTF-8": {"LANG": "de_DE.UTF-8"},
		"C.UTF-8":     {"LANG": "de_DE", "LC_CTYPE": "POSIX", "LC_ALL": "C.UTF-8"},
		"POSIX":       {"LANG": "de_DE.UTF-8", "LC_CTYPE": "POSIX", "LC_ALL": ""},
	} {
		if got := localeOf(func(name string) string { return env[name] }); got != want {
			t.Errorf("%v: %s, want %s", env, got, want)
		}
	}
}
