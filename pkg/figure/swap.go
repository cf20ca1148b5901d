package figure

// swap exchanges two paths in three renames and undoes the first when the second fails.
func swap(a, b string, rename func(from, to string) error) error {
	spare := a + ".former"
	if err := rename(b, spare); err != nil {
		return err
	}
	if err := rename(a, b); err != nil {
		_ = rename(spare, b)
		return err
	}
	return rename(spare, a)
}
