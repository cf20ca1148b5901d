package verify

func (m *model) verifyTraining() {}
