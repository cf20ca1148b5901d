package tokenizer

// matcher finds added tokens in a text: leftmost, and of those the longest.
type matcher struct {
	first [256]bool
	edges map[edge]int32
	ids   map[int32]int // by node: the token that ends there
	nodes int32
}

type edge struct {
	node int32
	next byte
}

func newMatcher() *matcher { return &matcher{edges: map[edge]int32{}, ids: map[int32]int{}} }

// insert adds a token and reports whether its text is new.
func (m *matcher) insert(text string, id int) bool {
	m.first[text[0]] = true
	node := int32(0)
	for i := range len(text) {
		next, ok := m.edges[edge{node, text[i]}]
		if !ok {
			m.nodes++
			next = m.nodes
			m.edges[edge{node, text[i]}] = next
		}
		node = next
	}
	if _, taken := m.ids[node]; taken {
		return false
	}
	m.ids[node] = id
	return true
}

// ends reports whether the whole text is a token.
func (m *matcher) ends(text string) bool {
	node, ok := int32(0), true
	for i := range len(text) {
		if node, ok = m.edges[edge{node, text[i]}]; !ok {
			return false
		}
	}
	_, ok = m.ids[node]
	return ok
}

// cut calls token for each added token of the text and rest for each non-empty piece between them, in order.
func (m *matcher) cut(text string, token func(id int), rest func(piece string)) {
	start := 0
	for i := 0; i < len(text); {
		if !m.first[text[i]] {
			i++
			continue
		}
		id, length := 0, 0
		node, ok := int32(0), true
		for j := i; j < len(text); j++ {
			if node, ok = m.edges[edge{node, text[j]}]; !ok {
				break
			}
			if found, ends := m.ids[node]; ends {
				id, length = found, j+1-i
			}
		}
		if length == 0 {
			i++
			continue
		}
		if start < i {
			rest(text[start:i])
		}
		token(id)
		i += length
		start = i
	}
	if start < len(text) {
		rest(text[start:])
	}
}
