package preview

import "testing"

// FuzzName looks for a second name of one preview.
func FuzzName(f *testing.F) {
	f.Add("3000-5cdd1155-0000-4000-8000-000000000000")
	f.Add("1-abcdefghijklmnopqrstuvwxyz")
	f.Add("03000-5CDD1155-0000-4000-8000-000000000000")
	f.Fuzz(func(t *testing.T, label string) {
		n, ok := ParseName(label)
		if ok && (n.String() != label || (n.Sandbox == "") == (n.Token == "") || len(label) > 63) {
			t.Fatalf("%q is %+v", label, n)
		}
	})
}
