package task

var documents []Kind
