// What the page says, and its examples, in each of its languages.

export const EXAMPLES = {
  en: {
    text: `The water workers' union said on Sunday that the drinking water of Wadi City was contaminated after a main pipe burst.

The irrigation minister denied on Monday that the drinking water of Wadi City was contaminated.

The director of the central laboratory confirmed that the drinking water of Wadi City was contaminated with bacteria.

The mayor said: “The drinking water of Wadi City is not contaminated.”

A doctor at the city hospital confirmed the contamination: “Yes, that is true, the drinking water is contaminated.”

The water company neither confirmed nor denied the reports, saying that its tests were still under way.`,
    claims: ["The drinking water of Wadi City was contaminated"],
  },
  ar: {
    text: `أعلنت نقابة عمال المياه، مساء الأحد، أن مياه الشرب في مدينة الوادي تلوثت بعد انفجار أنبوب رئيسي.

ونفى وزير الري، خلال مؤتمر صحفي، تلوث مياه الشرب في مدينة الوادي، واصفًا ما يتردد بأنه شائعات.

وأكد مدير المختبر المركزي، في بيان، أن مياه الشرب في مدينة الوادي تلوثت بالبكتيريا.

وقال رئيس البلدية: «لا صحة لما تقوله النقابة، ومياه المدينة سليمة».

وأضافت طبيبة في مستشفى الوادي: «نعم، هذا صحيح، مياه الشرب ملوثة، واستقبلنا عشرين حالة تسمم».

ولم تؤكد شركة المياه تلوث مياه الشرب ولم تنفه، مكتفية بالقول إن الفحوص لم تنته بعد.`,
    claims: ["تلوثت مياه الشرب في مدينة الوادي"],
  },
};

export const STRINGS = {
  en: {
    tagline: "Who asserts a claim in the news, who denies it, who confirms it?",
    article: "Article", claims: "Claims", claim: "Claim {0}", add: "Add a claim", remove: "Remove claim {0}",
    claimsHint: "One sentence each, up to 16. Several lines pasted at once become several claims.",
    submit: "Find the stances", stop: "Stop", example: "Example", back: "Back to my text",
    summary: "Summary", statements: "Statements", inPlace: "In the article", highlight: "Highlight by",
    only: "only statements with a stance", csv: "Save as CSV", json: "Save as JSON",
    previous: "Previous", next: "Next", page: "{0}–{1} of {2}", pages: "Pages of the table",
    caption: "Statements of the article and their stance to each claim: {0} of {1} shown",
    statement: "Statement", speaker: "Speaker", stance: "Stance", unnamed: "not named", more: "{0} more",
    assert: "asserts", deny: "denies", confirm: "confirms", none: "no stance",
    assertMeans: "puts the claim forward as true", denyMeans: "says that the claim is false",
    confirmMeans: "vouches for a claim already raised", noneMeans: "takes no stance, or the model is too unsure of one",
    percentMeans: "how sure the model is of the likeliest stance; it is often wrong, so read the statement",
    toPlace: "Statement {0}: to its place in the article", toRow: "Statement {0}, {1}: to its row in the table",
    working: "Reading the article…", stopped: "Stopped.", done: "Done. Statements: {0}, claims: {1}; the results are below.",
    nothing: "No statements: the article has no sentence of four words or more.", model: "Model",
    noClaims: "Without a claim there are statements and speakers only. Add a claim to see stances.",
    unfiltered: "All statements are shown again, to reach this one.", notReady: "The service is not ready to answer; the page asks again every second.",
    noArticle: "There is no article yet. Paste its text, or press Example.",
    unreachable: "The service does not answer. See whether claimstance serve is still running, then press the button again.",
    refused: "The service could not answer:", unreadable: "its answer (status {0}) cannot be read.",
    wayInput: "Mend that and press the button again.", wayLong: "Shorten the text, or send it in parts.",
    wayWait: "Wait a moment and press the button again.", wayBroken: "Press the button again; if it stays so, tell whoever runs the service.",
  },
  ar: {
    tagline: "من يقول بالادّعاء في الأخبار، ومن ينفيه، ومن يؤكّده؟",
    article: "المقال", claims: "الادّعاءات", claim: "الادّعاء {0}", add: "إضافة ادّعاء", remove: "حذف الادّعاء {0}",
    claimsHint: "جملة واحدة لكل ادّعاء، ١٦ على الأكثر. إذا لُصقت عدة أسطر معًا صارت عدة ادّعاءات.",
    submit: "استخراج المواقف", stop: "إيقاف", example: "مثال", back: "العودة إلى نصّي",
    summary: "الخلاصة", statements: "الأقوال", inPlace: "في المقال", highlight: "التظليل بحسب",
    only: "الأقوال التي فيها موقف فقط", csv: "حفظ CSV", json: "حفظ JSON",
    previous: "السابق", next: "التالي", page: "{0}–{1} من {2}", pages: "صفحات الجدول",
    caption: "أقوال المقال وموقف كلٍّ منها من كل ادّعاء: يظهر {0} من {1}",
    statement: "القول", speaker: "القائل", stance: "الموقف", unnamed: "غير مسمّى", more: "و{0} غيرهم",
    assert: "يقول به", deny: "ينفي", confirm: "يؤكّد", none: "بلا موقف",
    assertMeans: "يطرح الادّعاء على أنه صحيح", denyMeans: "يقول إن الادّعاء غير صحيح",
    confirmMeans: "يصدّق ادّعاءً سبق طرحه", noneMeans: "لا يتخذ موقفًا، أو أن النموذج غير واثق بما يكفي",
    percentMeans: "مدى ثقة النموذج في أرجح موقف؛ وهو يخطئ كثيرًا، فاقرأ القول نفسه",
    toPlace: "القول {0}: إلى موضعه في المقال", toRow: "القول {0}، {1}: إلى صفّه في الجدول",
    working: "تجري قراءة المقال…", stopped: "أُوقف.", done: "تمّ. الأقوال: {0}، الادّعاءات: {1}؛ النتائج في الأسفل.",
    nothing: "لا أقوال: ليس في المقال جملة من أربع كلمات أو أكثر.", model: "النموذج",
    noClaims: "من دون ادّعاء لا تظهر إلا الأقوال وقائلوها. أضف ادّعاءً لترى المواقف.",
    unfiltered: "عادت الأقوال كلها إلى الظهور للوصول إلى هذا القول.", notReady: "الخدمة غير جاهزة للإجابة؛ تعيد الصفحة السؤال كل ثانية.",
    noArticle: "لا يوجد مقال بعد. ألصق نصّه، أو اضغط «مثال».",
    unreachable: "الخدمة لا تجيب. تحقّق من أن claimstance serve ما زال يعمل، ثم اضغط الزر مجددًا.",
    refused: "تعذّر على الخدمة أن تجيب:", unreadable: "جوابها (الحالة {0}) غير مفهوم.",
    wayInput: "صحّح ذلك ثم اضغط الزر مجددًا.", wayLong: "اختصر النص، أو أرسله على أجزاء.",
    wayWait: "انتظر قليلًا ثم اضغط الزر مجددًا.", wayBroken: "اضغط الزر مجددًا؛ فإن بقي الأمر كذلك فأبلغ من يدير الخدمة.",
  },
};
