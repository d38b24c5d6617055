package access

import "testing"

func TestASandboxThatGoesWhileItIsLookedForIsNotRemembered(t *testing.T) {
	c, lookups := NewCache(), 0
	find := func() (string, error) {
		lookups++
		if lookups == 1 {
			c.Forget("org", "id", "box")
		}
		return "id", nil
	}
	for range 3 {
		if id, err := c.id("org", "box", find); err != nil || id != "id" {
			t.Fatal(id, err)
		}
	}
	if lookups != 2 {
		t.Errorf("looked %d times, want 2: the first answer was stale, the second is remembered", lookups)
	}
}

func TestANameIsForgottenForItsOrganizationOnly(t *testing.T) {
	c, lookups := NewCache(), 0
	find := func() (string, error) { lookups++; return "id", nil }
	for _, organization := range []string{"a", "b"} {
		_, _ = c.id(organization, "box", find)
	}
	c.Forget("a", "id", "box")
	_, _ = c.id("b", "box", find)
	if lookups != 2 {
		t.Errorf("looked %d times, want 2: b's box is another", lookups)
	}
	_, _ = c.id("a", "box", find)
	if lookups != 3 {
		t.Errorf("looked %d times, want 3: a's box has gone", lookups)
	}
}
